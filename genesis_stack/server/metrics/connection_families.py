"""Connections: how many are open, and what was refused or ended before it was a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from genesis_stack.server.admission import Admission

_REASONS: Final = (
    "full",
    "evicted",
    "timeout",
    "tls",
    "bad_request",
    "header_too_large",
    "request_timeout",
)
"""Keys of `Admission.refused`; every other is `other`."""


class ConnectionFamilies(Collector):
    """Reads what `admission` has counted when it is scraped."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The families of this instant."""
        yield GaugeMetricFamily("genesis_open_connections", "Connections.", len(self._admission))
        counts = dict(self._admission.refused)
        refused = CounterMetricFamily(
            "genesis_refused_connections",
            "Connections refused or ended before they were a request.",
            labels=["reason"],
        )
        for reason in _REASONS:
            refused.add_metric([reason], counts.pop(reason, 0))
        refused.add_metric(["other"], sum(counts.values()))
        yield refused
