"""Sync and health of every host of a stack; one that is away is told with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from genesis_stack.errors import GenesisError
from genesis_stack.fleet.member import Member, each
from genesis_stack.fleet.ssh import AwayError, Reach
from genesis_stack.reconcile.status import Status

PATIENCE: Final = 60.0
"""Seconds that a host has for its answer."""
_STATUS: Final = TypeAdapter(Status)


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host; without a status it is away, and `error` says why."""

    host: str
    address: str | None
    status: Status | None
    error: str = ""

    def as_json(self) -> dict[str, object]:
        """Its fields."""
        return asdict(self) | {"status": self.status.as_json() if self.status is not None else None}


def read_all(asked: Sequence[Member], reach: Reach, own: Callable[[], Status]) -> list[HostStatus]:
    """Ask every host at the same time; `own` looks at this machine."""

    def ask(one: Member) -> Status:
        return own() if one.here else read_remote(one, reach)

    return [
        HostStatus(one.name, one.address, None, str(answer))
        if isinstance(answer, GenesisError)
        else HostStatus(one.name, one.address, answer)
        for one, answer in zip(asked, each(asked, ask), strict=True)
    ]


def read_remote(one: Member, reach: Reach) -> Status:
    """What `genesis-stack status` says on a host.

    Raises:
        AwayError: it cannot be asked, or answers something else.
    """
    done = reach.ask(one.reached_at(), ["status", "--json"], timeout=PATIENCE)
    try:
        return _STATUS.validate_json(done.stdout)
    except ValidationError:
        said = _error(done.stdout) or (done.stderr.strip().splitlines()[-1:] or ["something else"])[0]
        raise AwayError(f"{one.name}: `genesis-stack status` answers: {said[:300]}") from None


def _error(text: str) -> str | None:
    """The message of an error that was printed as JSON."""
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return None
