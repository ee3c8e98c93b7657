"""Memory, descriptors and processor of this process, against its budget.

ProcSubset=pid hides /proc/stat and with it what prometheus_client's own collector needs, so everything is
read from /proc/self and from the process's control group; see proc(5) and cgroups(7).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from genesis_stack.protocol.serve_config import BudgetConfig
from genesis_stack.server.metrics.cgroup import ControlGroup

_PAGE: Final = resource.getpagesize()


class ProcessFamilies:
    """What the process uses; families of the control group exist where it can be read."""

    def __init__(self, budget: BudgetConfig) -> None:
        self._budget = budget
        self._group = ControlGroup.own()

    def collect(self) -> Iterable[Metric]:
        """The families of this instant."""
        yield _bytes("genesis_memory_resident_bytes", "Resident memory of the process.", _resident_bytes())
        yield _bytes("genesis_memory_budget_bytes", "Memory that the stack allows.", self._budget.memory)
        yield GaugeMetricFamily("genesis_open_fds", "Open file descriptors.", _open_descriptors())
        yield CounterMetricFamily(
            "genesis_cpu_seconds", "Processor time of all threads.", time.process_time()
        )
        yield GaugeMetricFamily("genesis_cpu_budget_cores", "Cores that the stack allows.", self._budget.cpus)
        if (used := self._group.memory_bytes(self._budget.memory)) is not None:
            yield _bytes(
                "genesis_memory_cgroup_bytes",
                "Memory of the control group without unmapped file cache.",
                used,
            )
        throttling = self._group.throttling()
        yield CounterMetricFamily(
            "genesis_cpu_periods", "Scheduling periods in which it wanted to run.", throttling.periods
        )
        yield CounterMetricFamily(
            "genesis_cpu_throttled_periods", "Of them, those in which it was held back.", throttling.throttled
        )
        yield CounterMetricFamily(
            "genesis_cpu_throttled_seconds", "Time for which its threads were held back.", throttling.seconds
        )


def _bytes(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _open_descriptors() -> int:
    """From proc(5) fd, without the one that this look itself opens."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


def _resident_bytes() -> int:
    """From proc(5) statm, which ProcSubset=pid leaves visible."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
