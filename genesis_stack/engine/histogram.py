"""A histogram that is cheap enough to count every token: a bisection and three additions.

Written by one thread, read by anyone; a reader may see an observation in one of its parts and not yet in
the others, as a scrape between two observations would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from genesis_stack.engine.interface import Distribution


class Histogram:
    """Counts observations by upper bounds, which are inclusive as Prometheus wants them."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> Distribution:
        """What was observed so far."""
        return Distribution(self._bounds, tuple(self._counts), self._sum)
