"""The recent past of one server, from readings in memory: rates, percentiles, and points of plots."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from genesis_stack.dashboard.exposition import Histogram
from genesis_stack.dashboard.reading import Figures, Reading

RATE_SECONDS: Final = 10.0
"""What the rates of this moment look back on."""
PERCENTILE_SECONDS: Final = 60.0
"""What percentiles look back on: shorter, and an idle server would have none."""
KEPT_SECONDS: Final = 15 * 60.0
"""How far the plots go back without a Prometheus."""

Point = Mapping[str, float | None]
"""Values by plot and line, such as `ttft/p95`; None breaks the line."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the last minute, in seconds; None without a request in it."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, histogram: Histogram | None) -> Percentiles:
        """The percentiles of a histogram."""
        if histogram is None:
            return cls(None, None, None)
        return cls(*(histogram.quantile(share) for share in (0.5, 0.95, 0.99)))


@dataclass(frozen=True, slots=True)
class Pace:
    """How a server does now: tokens a second over the last seconds, percentiles of the last minute."""

    generated: float | None
    prompt: float | None
    first_token: Percentiles
    latency: Percentiles
    inter_token: Percentiles


class History:
    """Readings of one server, each compared with those before it."""

    def __init__(self) -> None:
        self._recent: deque[Reading] = deque()
        self.points: deque[tuple[float, Point]] = deque()

    def add(self, reading: Reading) -> Pace:
        """Take in a reading; the points of the plots grow by one."""
        self._recent.append(reading)
        while self._recent[0].at < reading.at - PERCENTILE_SECONDS:
            self._recent.popleft()
        pace = self._pace(reading)
        self.points.append((reading.at, _point(reading, pace)))
        while self.points[0][0] < reading.at - KEPT_SECONDS:
            self.points.popleft()
        return pace

    def _pace(self, reading: Reading) -> Pace:
        now = reading.figures
        near, far = self._before(reading, RATE_SECONDS), self._before(reading, PERCENTILE_SECONDS)
        if now is None:
            nothing = Percentiles.of(None)
            return Pace(None, None, nothing, nothing, nothing)
        then = far.figures if far is not None else None
        return Pace(
            _rate(reading, near, "generated_tokens"),
            _rate(reading, near, "prompt_tokens"),
            Percentiles.of(now.first_token.since(then.first_token) if then else None),
            Percentiles.of(now.latency.since(then.latency) if then else None),
            Percentiles.of(now.inter_token.since(then.inter_token) if then else None),
        )

    def _before(self, reading: Reading, seconds: float) -> Reading | None:
        """The oldest reading of these seconds that is of the same process."""
        if (now := reading.figures) is None:
            return None
        for earlier in self._recent:
            then = earlier.figures
            recent = earlier is not reading and earlier.at >= reading.at - seconds
            if recent and then is not None and then.started == now.started:
                return earlier
        return None


def _rate(now: Reading, then: Reading | None, name: str) -> float | None:
    if then is None or then.at >= now.at:
        return None
    before, after = getattr(then.figures, name), getattr(now.figures, name)
    if before is None or after is None or after < before:
        return None
    return float(after - before) / (now.at - then.at)


def _point(reading: Reading, pace: Pace) -> Point:
    figures: Figures | None = reading.figures
    return {
        "tokens/generated": pace.generated,
        "tokens/prompt": pace.prompt,
        "ttft/p50": pace.first_token.p50,
        "ttft/p95": pace.first_token.p95,
        "latency/p50": pace.latency.p50,
        "latency/p95": pace.latency.p95,
        "memory/resident": figures.memory if figures else None,
    }
