"""What a load test saw: one sample a request, and readings of the servers meanwhile; stored as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from genesis_stack.errors import ExitCode, GenesisError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sample(_Part):
    """One request; times in seconds, `started` as Unix time.

    `error` says why it failed. `ttft`, the time to the first token, and `gaps`, those between pieces of text,
    are of streamed answers; `queue` is the server's own account.
    """

    model: str
    task: str
    started: float
    seconds: float
    error: str | None = None
    ttft: float | None = None
    gaps: tuple[float, ...] = ()
    tokens: int = 0
    queue: float | None = None

    @property
    def rate(self) -> float | None:
        """Tokens a second after the first; None where too few came to tell."""
        decoding = sum(self.gaps)
        return (self.tokens - 1) / decoding if self.tokens > 1 and decoding > 0 else None


class Reading(_Part):
    """One look at a server's metrics; `at` is Unix time, memory is in bytes."""

    at: float
    model: str
    server: str
    began: float
    memory: float
    budget: float
    running: float
    waiting: float
    descriptors: float = 0.0


class Crowd(_Part):
    """How many users there were."""

    at: float
    users: int


class Record(_Part):
    """A whole run. `generator_cpu` is the share of one core that the busiest process of Locust's took."""

    schema_version: Literal[1] = 1
    stack: str
    profile: str
    models: tuple[str, ...]
    started: float
    seconds: float
    warm_up: float
    generator_cpu: float
    crowds: tuple[Crowd, ...]
    samples: tuple[Sample, ...]
    readings: tuple[Reading, ...]

    def measured(self, model: str) -> Sequence[Sample]:
        """Requests of a model that began after the warm-up, in order."""
        begin = self.started + self.warm_up
        found = [one for one in self.samples if one.model == model and one.started >= begin]
        return sorted(found, key=lambda one: one.started)

    def restarts(self, model: str) -> int:
        """How often a server of the model was seen to have begun anew."""
        servers: dict[str, set[float]] = {}
        for reading in self.readings:
            if reading.model == model:
                servers.setdefault(reading.server, set()).add(reading.began)
        return sum(len(begins) - 1 for begins in servers.values())


def read_record(path: Path) -> Record:
    """A stored run.

    Raises:
        GenesisError: it cannot be read, or is none.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is no stored load test"
        hint = "`genesis-stack load --report FILE.html` stores one beside it as FILE.json"
        raise GenesisError(f"{path}: {what}", hint=hint, exit_code=ExitCode.USAGE) from None
