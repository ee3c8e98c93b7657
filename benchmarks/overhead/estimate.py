"""A median and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_Z: Final = 1.96
"""Standard deviations of a normal distribution that hold 95 %."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The interval is that of order statistics, whatever the distribution (Conover 1999, 3.2)."""
        ordered, count = sorted(values), len(values)
        margin = _Z * math.sqrt(count)
        low = max(1, math.floor((count - margin) / 2))
        high = min(count, math.ceil(1 + (count + margin) / 2))
        middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        return cls(middle, ordered[low - 1], ordered[high - 1])

    def text(self, digits: int) -> str:
        """As `0.31 (0.29 to 0.33)`."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"
