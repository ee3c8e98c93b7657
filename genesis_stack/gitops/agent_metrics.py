"""What Prometheus is told of the agent: read from its record, for it runs only for a moment at a time."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from genesis_stack.backends import Service
from genesis_stack.gitops.record import Record, last_look, read_record, read_suspension
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.generations import Generations

MOST_AT_ONCE: Final = 32
"""Servers that are asked at the same time, so that one that does not answer holds up no other."""


class AgentCollector(Collector):
    """Metrics of the agent of a host; none where no agent ever ran."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def collect(self) -> Iterable[Metric]:
        """All families, in one moment."""
        layout = self._host.layout
        record = read_record(layout)
        if record.fetched == 0.0 and not record.fetch_error:
            return []
        generations = Generations(layout)
        current = generations.current()
        trouble = (
            record.trouble if record.trouble is not None and record.trouble.revision == record.seen else None
        )
        values = {
            "sync": ("1 if what the branch holds is in force.", _synced(record, current)),
            "health": ("1 if every model serves what is in force.", self._healthy(generations, current)),
            "last_fetch_failed": ("1 if the repository could not be reached.", bool(record.fetch_error)),
            "last_apply_failed": (
                "1 if the branch's revision could not be brought into force.",
                trouble is not None and trouble.kind != "refused",
            ),
            "revision_refused": (
                "1 if the branch holds what is not signed as it must be, or was moved.",
                trouble is not None and trouble.kind == "refused",
            ),
            "suspended": ("1 while somebody has suspended the agent.", read_suspension(layout) is not None),
            "generation": ("The generation that the agent last brought into force.", record.generation or 0),
            "last_look_timestamp_seconds": ("When the agent last reached the repository.", last_look(layout)),
        }
        gauges = [
            GaugeMetricFamily(f"genesis_agent_{name}", text, value) for name, (text, value) in values.items()
        ]
        return [*gauges, _revisions(record)]

    def _healthy(self, generations: Generations, current: int | None) -> bool:
        """Whether every server says that it is the one in force."""
        services = generations.info(current).services.values() if current is not None else ()

        def serves(service: Service) -> bool:
            return self._host.backend.health(service).serves(service)

        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            return all(list(pool.map(serves, services)))


def _synced(record: Record, current: int | None) -> bool:
    return record.seen is not None and (record.applied, record.generation) == (record.seen, current)


def _revisions(record: Record) -> Metric:
    info = GaugeMetricFamily(
        "genesis_agent_revision_info",
        "1; the revision in force and the branch's.",
        labels=["applied", "seen"],
    )
    info.add_metric([record.applied or "", record.seen or ""], 1)
    return info
