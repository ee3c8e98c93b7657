"""Small plots as SVG text: lines over time, and histograms; styled by the page that holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 420
HEIGHT: Final = 170
LEFT: Final = 46
BOTTOM: Final = 22
TOP: Final = 8
RIGHT: Final = 8
BARS: Final = 30
LINES: Final = 3
"""Kinds of lines that the page has a style for."""

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; `limit` draws it as what must not be crossed."""

    name: str
    points: Sequence[tuple[float, float]]
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """A finished plot: its title, its legend as (name, style), and its SVG; empty without data."""

    title: str
    legend: Sequence[tuple[str, str]]
    svg: str


def over_time(title: str, lines: Sequence[Line], seconds: float) -> Plot:
    """Curves from the start of a run to its end; both axes begin at 0."""
    drawn = [line for line in lines if line.points]
    if not any(not line.limit for line in drawn):
        return Plot(title, (), "")
    most = ceiling(max(value for line in drawn for _, value in line.points))
    across, up = _scales(max(seconds, 1.0), most)
    styles = _styles(drawn)
    curves = [
        f'<path class="{style}" d="M{" L".join(_point(across(x), up(y)) for x, y in line.points)}"/>'
        for line, style in zip(drawn, styles, strict=True)
    ]
    marks = _grid(up, most) + _times(across, seconds)
    legend = [(line.name, style) for line, style in zip(drawn, styles, strict=True)]
    return Plot(title, legend, _svg(title, marks + "".join(curves)))


def histogram(title: str, values: Sequence[float]) -> Plot:
    """How often values fall where, up to their 99.5th percentile; the rest is in the last bar."""
    if not values:
        return Plot(title, (), "")
    ordered = sorted(values)
    widest = ceiling(ordered[min(len(ordered) - 1, int(0.995 * len(ordered)))])
    counts = [0] * BARS
    for value in ordered:
        counts[min(BARS - 1, int(value / widest * BARS))] += 1
    most = ceiling(max(counts))
    across, up = _scales(widest, most)
    bar = (WIDTH - LEFT - RIGHT) / BARS
    bars = "".join(
        f'<rect class="bar" x="{LEFT + at * bar:.1f}" y="{up(count):.1f}" width="{bar - 1:.1f}"'
        f' height="{HEIGHT - BOTTOM - up(count):.1f}"/>'
        for at, count in enumerate(counts)
    )
    return Plot(title, (), _svg(title, _grid(up, most) + _times(across, widest) + bars))


def ceiling(value: float) -> float:
    """The next value that a scale may end with: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def short(value: float) -> str:
    """A number on an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _scales(width: float, height: float) -> tuple[Scale, Scale]:
    return (
        lambda at: LEFT + at / width * (WIDTH - LEFT - RIGHT),
        lambda value: HEIGHT - BOTTOM - value / height * (HEIGHT - BOTTOM - TOP),
    )


def _styles(lines: Sequence[Line]) -> list[str]:
    numbers = iter(range(len(lines)))
    return ["limit" if line.limit else f"line-{next(numbers) % LINES}" for line in lines]


def _grid(up: Scale, most: float) -> str:
    return "".join(
        f'<path class="grid" d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 5}" y="{up(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
        for value in (0.0, most / 2, most)
    )


def _times(across: Scale, seconds: float) -> str:
    ends = ((0.0, "start"), (seconds / 2, "middle"), (seconds, "end"))
    return "".join(
        f'<text x="{across(at):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{at:.3g} s</text>'
        for at, anchor in ends
    )


def _point(x: float, y: float) -> str:
    return f"{x:.1f} {y:.1f}"


def _svg(title: str, content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{content}</svg>'
