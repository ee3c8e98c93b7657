"""What a run found, beside what is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.overhead.estimate import Estimate

REQUEST_MS: Final = 0.4
TOKEN_US: Final = 20.0
SHARE: Final = 0.01
LARGE: Final = 10**9
"""Bytes of a model file from which on the limit is the share."""


@dataclass(frozen=True, slots=True)
class Added:
    """What a side adds, metrics included: by the clock and in CPU time outside of the engine.

    `whole_ms` and `whole_cpu_ms` are of a request of all tokens, as it was measured. `least_ms` and
    `least_token_us` compare the fastest tenth of all requests: what they take while nobody disturbs them.
    """

    wall_ms: Estimate
    wall_token_us: Estimate
    cpu_ms: Estimate
    cpu_token_us: Estimate
    whole_ms: Estimate
    whole_cpu_ms: Estimate
    least_ms: float
    least_token_us: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One run; `off_ms` and `off_short_ms` are requests of `tokens` tokens and of one without any of it."""

    model: str | None
    rounds: int
    requests: int
    tokens: int
    off_ms: float
    off_short_ms: float
    metrics_request_ms: float
    metrics_token_us: float
    usual: Added
    all: Added

    @property
    def misses(self) -> list[str]:
        """The limits that do not hold; beside a model by CPU time, for the clock shows the model's noise."""
        found = []
        allowed = REQUEST_MS + TOKEN_US * self.tokens / 1e3
        for name, added in (("usual", self.usual), ("all", self.all)):
            if self.model is None:
                if added.wall_ms.median > REQUEST_MS:
                    found.append(f"{name}: {added.wall_ms.median:.2f} ms a request, {REQUEST_MS} allowed")
                if added.wall_token_us.median > TOKEN_US:
                    found.append(
                        f"{name}: {added.wall_token_us.median:.1f} us a token, {TOKEN_US:.0f} allowed"
                    )
            elif Path(self.model).stat().st_size >= LARGE:
                if added.whole_cpu_ms.median >= SHARE * self.off_ms:
                    found.append(
                        f"{name}: {added.whole_cpu_ms.median / self.off_ms:.2%}, {SHARE:.0%} allowed"
                    )
            elif added.whole_cpu_ms.median > allowed:
                spent = added.whole_cpu_ms.median
                found.append(f"{name}: {spent:.2f} ms for {self.tokens} tokens, {allowed:.2f} allowed")
        return found

    def text(self) -> str:
        """For people."""
        engine = "an engine that answers at once" if self.model is None else Path(self.model).name
        metrics = f"{self.metrics_request_ms:.3f} ms a request and {self.metrics_token_us:.1f} us a token"
        lines = [
            f"{engine}: {self.rounds} rounds of {self.requests} requests of 1 and of {self.tokens} tokens",
            f"off: {self.off_short_ms:.3f} ms and {self.off_ms:.3f} ms a request",
            f"added, medians with their 95 % interval; the metrics' part is {metrics}",
            f"{'':16} {'a request, ms':>28} {'a token, us':>28} {f'{self.tokens} tokens, ms':>28}",
        ]
        for name, added in (("usual", self.usual), ("all", self.all)):
            clock = (added.wall_ms.text(3), added.wall_token_us.text(1), added.whole_ms.text(3))
            cpu = (added.cpu_ms.text(3), added.cpu_token_us.text(1), added.whole_cpu_ms.text(3))
            lines.append(f"{f'{name}, clock':16} " + " ".join(f"{cell:>28}" for cell in clock))
            lines.append(f"{f'{name}, CPU':16} " + " ".join(f"{cell:>28}" for cell in cpu))
            lines.append(f"{'  fastest tenth':16} {added.least_ms:28.3f} {added.least_token_us:28.1f}")
        return "\n".join([*lines, *(f"MISSED: {miss}" for miss in self.misses)])
