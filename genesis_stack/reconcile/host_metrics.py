"""What Prometheus is told of the host: whether it is as it was applied, what runs, and the room on its disk.

The servers cannot tell this of themselves: one that is confined sees nothing of its host, and one that is
stopped says nothing at all. Looking for drift reads every file of a generation, so that it is done once a
minute at most, however often somebody asks; all else needs its index alone.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from genesis_stack.backends import Desired, ObservedService, Phase
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.apply import Host, missing
from genesis_stack.reconcile.drift import Drift, find_drift
from genesis_stack.reconcile.generations import Generations

LOOK_SECONDS: Final = 60.0
"""Least time between two looks at files, limits and model store."""

SWITCH_SECONDS: Final = 600.0
"""Age of a journal from which on its apply counts as interrupted."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. `drifted` are models, or "" for what belongs to none; `when` is a UNIX time."""

    when: float = 0.0
    drifted: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()


@dataclass
class Restarts:
    """Processes seen per model, where the process manager does not count its restarts itself."""

    last: dict[str, int] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def see(self, model: str, service: ObservedService) -> int:
        """Count a process that is not the last one; returns all restarts so far."""
        if service.pid is not None:
            if self.last.get(model, service.pid) != service.pid:
                self.count[model] = self.count.get(model, 0) + 1
            self.last[model] = service.pid
        return max(service.restarts, self.count.get(model, 0))


class HostCollector(Collector):
    """The state of one host as metrics, fresh at each scrape but for what is costly to find."""

    def __init__(self, host: Host, look_seconds: float = LOOK_SECONDS) -> None:
        self._host = host
        self._every = look_seconds
        self._lock = threading.Lock()
        self._last = Look()
        self._restarts = Restarts()

    def collect(self) -> Iterable[Metric]:
        """All families, in one moment."""
        with self._lock:
            generations = Generations(self._host.layout)
            current = generations.current()
            services = generations.info(current).services if current is not None else {}
            if time.time() - self._last.when >= self._every and not _switching(self._host):
                self._last = look(self._host, generations.load(current))
            seen = self._host.backend.processes(services)
            return [
                *self._services(seen),
                *_findings(services, self._last),
                *_applies(generations, current),
                *_disk(self._host),
            ]

    def _services(self, seen: Mapping[str, ObservedService]) -> Iterable[Metric]:
        active = GaugeMetricFamily(
            "genesis_host_unit_active", "1 while the model's process runs or starts.", labels=["model"]
        )
        restarts = CounterMetricFamily(
            "genesis_host_restarts", "Times that the model's process was started anew.", labels=["model"]
        )
        for model, service in seen.items():
            active.add_metric([model], service.phase in {Phase.RUNNING, Phase.STARTING})
            restarts.add_metric([model], self._restarts.see(model, service))
        return active, restarts


def _switching(host: Host) -> bool:
    """Whether an apply is under way: until its end nothing is as it was applied."""
    try:
        begun = host.layout.journal.stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - begun < SWITCH_SECONDS


def look(host: Host, desired: Desired) -> Look:
    """Compare the host with its current generation, file by file."""
    drift = find_drift(host)
    damaged = missing(desired, Store(host.layout.models))
    drifted = frozenset(_owner(one, desired) for one in drift)
    return Look(time.time(), drifted, frozenset(damaged))


def _owner(drift: Drift, desired: Desired) -> str:
    """The model that a difference is about; "" where it concerns the host."""
    for model, service in desired.services.items():
        files = map(str, (*service.restart_on, *service.rebind_on))
        if drift.target == model or drift.target in files:
            return model
    return ""


def _findings(models: Iterable[str], found: Look) -> Iterable[Metric]:
    drift = GaugeMetricFamily(
        "genesis_host_drift", "1 if it is not as it was applied; without a model, the host.", labels=["model"]
    )
    intact = GaugeMetricFamily(
        "genesis_host_model_file_intact", "1 if its files are those that were verified.", labels=["model"]
    )
    drift.add_metric([""], "" in found.drifted)
    for model in models:
        drift.add_metric([model], model in found.drifted)
        intact.add_metric([model], model not in found.damaged)
    checked = "genesis_host_last_check_timestamp_seconds"
    return drift, intact, GaugeMetricFamily(checked, "When the host was last looked at.", found.when)


def _applies(generations: Generations, current: int | None) -> Iterable[Metric]:
    results = (generations.result(number) for number in generations.numbers()[-10:])
    ended = sorted((one for one in results if one is not None), key=lambda one: one.finished)
    failed = bool(ended) and ended[-1].outcome != "applied"
    yield GaugeMetricFamily("genesis_host_last_apply_failed", "1 if the last apply did not arrive.", failed)
    yield GaugeMetricFamily("genesis_host_generation", "The generation in force.", current or 0)


def _disk(host: Host) -> Iterable[Metric]:
    disk = shutil.disk_usage(host.layout.state)
    yield GaugeMetricFamily("genesis_host_disk_free_bytes", "Room left where the models are.", disk.free)
    yield GaugeMetricFamily("genesis_host_disk_size_bytes", "Size of that disk.", disk.total)
