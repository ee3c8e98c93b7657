"""What the load client is told to send: requests in lanes, as JSON between the two processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class HangUp:
    """How a client leaves early.

    It sends `send_fraction` of its request. It closes `seconds` after that, or, if those are None, when
    `segments` pieces of the answer have arrived. `reset` closes with an RST instead of a FIN.
    """

    send_fraction: float = 1.0
    seconds: float | None = None
    segments: int = 1
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """One chat request. A lane's requests follow one another, lanes run side by side.

    It starts only when `after_streams` others have streamed for a while. `body` is the request as JSON.
    """

    lane: int
    body: str
    after_streams: int = 0
    hang_up: HangUp | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything one run of the client sends to 127.0.0.1:`port`.

    A request that has not ended after `deadline` seconds is given up and counted as hung.
    """

    port: int
    deadline: float
    shots: tuple[Shot, ...]

    def to_json(self) -> str:
        """The workload as one JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Workload:
        """The workload that `to_json` wrote."""
        raw = json.loads(text)
        shots = tuple(
            Shot(
                lane=shot["lane"],
                body=shot["body"],
                after_streams=shot["after_streams"],
                hang_up=HangUp(**shot["hang_up"]) if shot["hang_up"] else None,
            )
            for shot in raw["shots"]
        )
        return cls(port=raw["port"], deadline=raw["deadline"], shots=shots)
