"""What the guard says of a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genesis_stack.protocol.headers import GUARD

Outcome = Literal["clean", "flagged", "blocked"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`score` is 0 to 1, `families` are the kinds of patterns that hit, `patterns` the version of the set."""

    outcome: Outcome
    score: float
    families: tuple[str, ...]
    patterns: str

    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The response's header field; which families hit is told to the audit record alone."""
        value = f"{self.outcome};score={self.score:.2f};patterns={self.patterns}"
        return ((GUARD.encode(), value.encode()),)
