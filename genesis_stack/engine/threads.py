"""How many threads llama.cpp may use: no more than the processors that this process really gets."""

from __future__ import annotations

import math
import os
from pathlib import Path


def choose_threads(declared: int, cpus: float) -> int:
    """Threads for one phase: as declared, or as many as budget, affinity and cgroup quota give.

    More threads than processors make every barrier of ggml wait for a thread that is not running, so a
    fraction of a processor is rounded down.
    """
    if declared > 0:
        return declared
    available = min(cpus, float(len(os.sched_getaffinity(0))), _cgroup_quota())
    return max(1, math.floor(available))


def _cgroup_quota() -> float:
    """Processors that the cgroup's CPU quota is worth; infinite without one (cgroups(7))."""
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                quota, period = Path(f"/sys/fs/cgroup{path}/cpu.max").read_text().split()
                return math.inf if quota == "max" else int(quota) / int(period)
            if "cpu" in controllers.split(","):
                folder = Path(f"/sys/fs/cgroup/{controllers}{path}")
                quota_us = int((folder / "cpu.cfs_quota_us").read_text())
                return (
                    math.inf if quota_us < 0 else quota_us / int((folder / "cpu.cfs_period_us").read_text())
                )
    except (OSError, ValueError):
        pass  # a sandbox hides the files; the declared budget then stands alone
    return math.inf
