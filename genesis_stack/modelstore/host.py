"""What this machine gives: memory and processors, with the limits of the control group we are in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genesis_stack.errors import GenesisError


@dataclass(frozen=True, slots=True)
class LocalHost:
    """Facts of a machine; `memory` in bytes and `cpus` in cores are what may be used, limits included.

    `memory_source` and `cpus_source` say which limit decided.
    """

    memory: int
    memory_source: str
    cpus: float
    cpus_source: str
    hostname: str
    machine_id: str


def read_host(root: Path = Path("/")) -> LocalHost:
    """Read the facts below `root`, which only tests change.

    Sources: proc_meminfo(5), cgroups(7), sched_getaffinity(2), machine-id(5).

    Raises:
        GenesisError: /proc/meminfo cannot be read.
    """
    groups = tuple(_groups(root))
    memory = [(_memory_total(root), "installed"), *_memory_limits(groups)]
    processors = [(float(len(os.sched_getaffinity(0))), "processors we may use"), *_cpu_limits(groups)]
    bytes_, memory_source = min(memory)
    cpus, cpus_source = min(processors)
    machine_id = _text(root / "etc/machine-id") or ""
    return LocalHost(bytes_, memory_source, cpus, cpus_source, os.uname().nodename, machine_id)


def _memory_total(root: Path) -> int:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise GenesisError("/proc/meminfo tells no MemTotal", hint="use --no-host to skip what needs this host")


def _groups(root: Path) -> Iterator[Path]:
    """Directories of our control groups and their parents, in every hierarchy, version 1 and 2."""
    mounted = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        hierarchy = mounted / controllers if controllers else mounted
        relative = Path(path.lstrip("/"))
        for part in (relative, *relative.parents):  # ends with ".", the hierarchy itself
            if ".." not in part.parts:
                yield hierarchy / part


def _memory_limits(groups: tuple[Path, ...]) -> Iterator[tuple[int, str]]:
    for group in groups:
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(group / name)
            if text and text.isdecimal():
                yield int(text), f"limit of {group / name}"


def _cpu_limits(groups: tuple[Path, ...]) -> Iterator[tuple[float, str]]:
    for group in groups:
        quota, _, period = (_text(group / "cpu.max") or "").partition(" ")
        quota = quota or _text(group / "cpu.cfs_quota_us") or ""
        period = period or _text(group / "cpu.cfs_period_us") or ""
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:
            yield math.floor(100 * int(quota) / int(period)) / 100, f"quota of {group}"


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
