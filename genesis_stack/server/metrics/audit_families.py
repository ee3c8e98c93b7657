"""How the audit record does, and an anchor of it that leaves the machine with every scrape."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from genesis_stack.protocol.audit import SHORTEST_ANCHOR
from genesis_stack.server.audit.trail import Standing


def audit_families(standing: Standing) -> Iterable[Metric]:
    """Records written and lost, whether the sink fails, and the beginning of the last record's hash."""
    yield CounterMetricFamily("genesis_audit_records", "Audit records written.", value=standing.written)
    yield CounterMetricFamily("genesis_audit_lost", "Audit records lost.", value=standing.lost)
    yield GaugeMetricFamily(
        "genesis_audit_failing", "1 while the audit record cannot be written.", value=float(standing.failing)
    )
    yield GaugeMetricFamily(
        "genesis_audit_head",
        "The first 13 hex digits of the last audit record's hash, as a number.",
        value=float(int(standing.head[:SHORTEST_ANCHOR], 16)),
    )
