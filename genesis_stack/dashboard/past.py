"""Points of plots: the last minutes from memory, longer ago from Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from genesis_stack.dashboard.history import History
from genesis_stack.dashboard.monitors import Monitors
from genesis_stack.render.figures import FIRST_TOKEN, LATENCY, MEMORY, TOKENS, Figure

if TYPE_CHECKING:
    import httpx

SPANS: Final = {"6h": 6 * 3600, "24h": 24 * 3600, "7d": 7 * 24 * 3600}
"""Seconds of each longer view."""
PLOTS: Final[Mapping[str, tuple[Figure, tuple[str, ...]]]] = {
    "tokens": (TOKENS, ("generated", "prompt")),
    "ttft": (FIRST_TOKEN, ("p50", "p95")),
    "latency": (LATENCY, ("p50", "p95")),
    "memory": (MEMORY, ("resident",)),
}
"""The plots of the page, and which lines of their figures they show."""
_POINTS: Final = 240


@dataclass(frozen=True, slots=True)
class Past:
    """Lines of one model, one value for each of the UNIX times; None breaks a line."""

    times: tuple[float, ...]
    lines: Mapping[str, tuple[float | None, ...]]


def from_memory(histories: Mapping[str, History]) -> dict[str, Past]:
    """What was seen since the dashboard started, by model."""
    return {model: _past(history.points) for model, history in histories.items()}


async def from_prometheus(
    http: httpx.AsyncClient, monitors: Monitors, models: Iterable[str], span: str
) -> dict[str, Past]:
    """The last `span` of SPANS by model.

    Raises:
        UnansweredError: there is no Prometheus, or it does not answer.
    """
    step = SPANS[span] / _POINTS
    end = time.time()
    times = tuple(end - SPANS[span] + step * number for number in range(_POINTS + 1))
    found: dict[str, dict[str, tuple[float | None, ...]]] = {model: {} for model in models}
    for plot, (figure, legends) in PLOTS.items():
        for line in figure.lines:
            if line.legend not in legends:
                continue
            query = line.query('job="genesis"', f"{max(int(step), 60)}s")
            values = await monitors.range(http, query, times[0], end, step)
            for model, lines in found.items():
                known = {round(at): value for at, value in values.get(model, {}).items()}
                lines[f"{plot}/{line.legend}"] = tuple(_number(known.get(round(at))) for at in times)
    return {model: Past(times, lines) for model, lines in found.items()}


def _past(points: Iterable[tuple[float, Mapping[str, float | None]]]) -> Past:
    kept = tuple(points)
    names = kept[-1][1] if kept else ()
    return Past(
        tuple(at for at, _ in kept), {name: tuple(point[name] for _, point in kept) for name in names}
    )


def _number(value: float | None) -> float | None:
    """Prometheus has NaN where there was nothing to measure; JSON has no such number."""
    return value if value is not None and value == value else None  # noqa: PLR0124 -- NaN is unlike itself
