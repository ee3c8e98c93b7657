"""One answer of a server's `/metrics`, and what can be read off it.

The text is Prometheus's exposition format 0.0.4; percentiles are estimated as its `histogram_quantile` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import sub


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations counted by upper bound, cumulatively; the last bound is infinity."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """How many observations there are."""
        return self.counts[-1] if self.counts else 0.0

    def since(self, earlier: Histogram) -> Histogram:
        """What came after `earlier`; everything, where the counters began anew in between."""
        if earlier.bounds != self.bounds or earlier.total > self.total:
            return self
        return Histogram(self.bounds, tuple(map(sub, self.counts, earlier.counts)))

    def quantile(self, share: float) -> float | None:
        """The value that `share` of the observations do not exceed, interpolated within its bucket.

        None without observations; the highest finite bound where the value lies above it.
        """
        if not self.total:
            return None
        rank = share * self.total
        at = next(i for i, count in enumerate(self.counts) if count >= rank)
        if math.isinf(self.bounds[at]):
            return self.bounds[at - 1] if at else None
        low, below = (self.bounds[at - 1], self.counts[at - 1]) if at else (0.0, 0.0)
        within = self.counts[at] - below
        return low + (self.bounds[at] - low) * ((rank - below) / within if within else 1.0)


@dataclass(frozen=True, slots=True)
class Exposition:
    """Samples by name, each with its labels."""

    samples: Mapping[str, tuple[tuple[Mapping[str, str], float], ...]]

    @classmethod
    def parse(cls, text: str) -> Exposition:
        """Read the text; raises ValueError when it is none."""
        from prometheus_client.parser import text_string_to_metric_families

        found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, float(sample.value)))
        return cls({name: tuple(values) for name, values in found.items()})

    def total(self, name: str, **prefixes: str) -> float | None:
        """The sum of one name's samples whose labels begin like `prefixes`; None without the name."""
        if name not in self.samples:
            return None
        return sum(
            value
            for labels, value in self.samples[name]
            if all(labels.get(label, "").startswith(prefix) for label, prefix in prefixes.items())
        )

    def histogram(self, name: str) -> Histogram:
        """A histogram over all its labels; an empty one without the name."""
        counts: dict[float, float] = {}
        for labels, value in self.samples.get(f"{name}_bucket", ()):
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0.0) + value
        bounds: Iterable[float] = sorted(counts)
        return Histogram(tuple(bounds), tuple(counts[bound] for bound in sorted(counts)))
