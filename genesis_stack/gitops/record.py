"""What the agent of a host knows of its earlier runs, and whether somebody has suspended it.

agent/record.json      written by the agent alone
agent/suspended.json   there while it is suspended; written by whoever suspends it
agent/repository.git   its bare clone
agent/checkout/        the stack of the revision it looks at
agent/kept/            stacks that models come from which left the branch and were not pruned
agent/rest             what must change before it is worth a closer look
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from genesis_stack import durable
from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout

Kept = TypeVar("Kept", bound=BaseModel)
Kind = Literal["refused", "quarantined", "hindered"]
"""Of trouble: when a revision is looked at again depends on it."""
Ending = Literal["applied", "refused", "failed", "rolled back"]
"""How a revision ended, as it is told."""
MOST_TOLD: Final = 50
"""Notices that are remembered, so that none is told twice."""


class RecordError(GenesisError):
    """A file of the agent cannot be read."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trouble(_Frozen):
    """Why a revision is not in force.

    `refused` is looked at again when the allowed signers change, `quarantined` when a new revision comes,
    `hindered` with every run. `exit_code` is that of the run that met it.
    """

    kind: Kind
    revision: str
    reason: str
    exit_code: int
    since: float


class Notice(_Frozen):
    """One result of one revision, as people and programs are told of it; `time` in UNIX seconds."""

    revision: str
    outcome: Ending
    reason: str = ""
    subject: str = ""
    stack: str
    host: str
    generation: int | None = None
    time: float

    @property
    def key(self) -> str:
        """Equal for what must be told once."""
        return f"{self.revision} {self.outcome}"


class Pending(_Frozen):
    """A notice that one way has not taken yet."""

    way: str
    notice: Notice


class Record(_Frozen):
    """`record.json`.

    `applied` is the revision in force and `generation` the generation that it led to; `seen` is what the
    branch held at the last fetch. `adopted` is a revision that an operator allowed to follow though it does
    not stand on top of `applied`. `vouched` is the last revision of which this host, as the canary, has
    told the others. Times are UNIX seconds, revisions full hexadecimal names.
    """

    schema_version: Literal[1] = 1
    applied: str | None = None
    generation: int | None = None
    seen: str | None = None
    fetched: float = 0.0
    fetch_error: str = ""
    waiting: str = ""
    drifted: bool = False
    trouble: Trouble | None = None
    adopted: str | None = None
    vouched: str | None = None
    told: tuple[str, ...] = ()
    pending: tuple[Pending, ...] = ()

    def trouble_with(self, revision: str) -> Trouble | None:
        """What stands against this very revision."""
        return self.trouble if self.trouble is not None and self.trouble.revision == revision else None


class Suspension(_Frozen):
    """`suspended.json`."""

    schema_version: Literal[1] = 1
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class Files:
    """Where the agent keeps what it knows."""

    root: Path

    @classmethod
    def of(cls, layout: Layout) -> Files:
        """Below the host's state."""
        return cls(layout.state / "agent")

    @property
    def record(self) -> Path:
        """Its record."""
        return self.root / "record.json"

    @property
    def suspension(self) -> Path:
        """There while it is suspended."""
        return self.root / "suspended.json"

    @property
    def clone(self) -> Path:
        """Its bare clone."""
        return self.root / "repository.git"

    @property
    def checkout(self) -> Path:
        """The stack it looks at."""
        return self.root / "checkout"

    @property
    def kept(self) -> Path:
        """Where models come from that were not pruned."""
        return self.root / "kept"

    @property
    def rest(self) -> Path:
        """What must change before a closer look is worth it; touched by each look."""
        return self.root / "rest"


def read_record(layout: Layout) -> Record:
    """The record, or that of an agent that never ran."""
    return _read(Record, Files.of(layout).record) or Record()


def write_record(layout: Layout, record: Record) -> None:
    """Replace the record, durably."""
    kept = record.model_copy(
        update={"told": record.told[-MOST_TOLD:], "pending": record.pending[-MOST_TOLD:]}
    )
    durable.mkdir(Files.of(layout).root, 0o700)
    durable.write(Files.of(layout).record, kept.model_dump_json(indent=2) + "\n", 0o600)


def read_suspension(layout: Layout) -> Suspension | None:
    """Why the agent does nothing, if it is suspended."""
    return _read(Suspension, Files.of(layout).suspension)


def write_suspension(layout: Layout, suspension: Suspension | None) -> None:
    """Suspend the agent, or let it go on."""
    path = Files.of(layout).suspension
    if suspension is None:
        durable.remove(path)
    else:
        durable.mkdir(path.parent, 0o700)
        durable.write(path, suspension.model_dump_json(indent=2) + "\n", 0o600)


def last_look(layout: Layout) -> float:
    """When the agent, or its timer alone, last reached the repository; a UNIX time, 0 for never."""
    files = Files.of(layout)
    times = [read_record(layout).fetched]
    with contextlib.suppress(FileNotFoundError):
        times.append(files.rest.stat().st_mtime)
    return max(times)


def suspend_for(layout: Layout, reason: str) -> bool:
    """Suspend the agent, if one was ever at work on this host and nobody has suspended it yet."""
    if not Files.of(layout).record.exists() or read_suspension(layout) is not None:
        return False
    write_suspension(layout, Suspension(reason=reason, since=time.time()))
    return True


def _read(kind: type[Kept], path: Path) -> Kept | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        hint = "move it away; the agent then takes the branch as it finds it"
        raise RecordError(f"{path} is damaged: {error}", hint=hint) from None
