"""The control group of this process, version 1 or 2, as far as the sandbox lets it be read.

See cgroups(7), and the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PAGE: Final = resource.getpagesize()
"""To which the kernel rounds limits."""

_MOUNT: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Throttling:
    """What the CPU quota did since the group exists: periods, those throttled, and seconds held back."""

    periods: int = 0
    throttled: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """Where the group's files are: the directories of the memory and the cpu controller."""

    memory: Path
    cpu: Path

    @classmethod
    def own(cls, proc: Path = Path("/proc/self/cgroup"), mount: Path = _MOUNT) -> Self:
        """The group of this process: `proc` has lines `id:controllers:path`, v2 none in the middle."""
        memory = cpu = mount
        for line in proc.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            below = path.lstrip("/")
            names = controllers.split(",")
            if "memory" in names:
                memory = mount / "memory" / below
            if "cpu" in names:
                cpu = mount / "cpu" / below
            if not controllers and not (mount / "memory").is_dir():
                memory = cpu = mount / below
        return cls(memory, cpu)

    def memory_bytes(self, limit: int) -> int | None:
        """Memory in use less file cache that nobody has mapped.

        None where it is not shown, or where the group is not bounded by `limit` bytes: it is then not the
        server's own, as under the embedded backend, and others are in the sum.

        All that is charged would tell nothing: files that were read once fill it up to the limit, and leave
        when somebody needs the room. Mapped weights stay in the sum: without them the model crawls.
        """
        charged = _number(self.memory / "memory.current", self.memory / "memory.usage_in_bytes")
        bound = _number(self.memory / "memory.max", self.memory / "memory.limit_in_bytes")
        if charged is None or bound is None or abs(bound - limit) >= _PAGE:
            return None
        stat = _fields(self.memory / "memory.stat")
        files = stat.get("total_cache", stat.get("file", 0))
        mapped = stat.get("total_mapped_file", stat.get("file_mapped", 0))
        shared = stat.get("total_shmem", stat.get("shmem", 0))
        return max(0, charged - max(0, files - mapped - shared))

    def throttling(self) -> Throttling:
        """Zeros where it is not shown."""
        stat = _fields(self.cpu / "cpu.stat")
        seconds = stat.get("throttled_usec", 0) / 1e6 + stat.get("throttled_time", 0) / 1e9
        return Throttling(stat.get("nr_periods", 0), stat.get("nr_throttled", 0), seconds)


def _number(*paths: Path) -> int | None:
    """The content of the first of these files that can be read."""
    for path in paths:
        try:
            return int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None


def _fields(path: Path) -> dict[str, int]:
    """A flat keyed file; empty if it cannot be read."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _, value in (line.partition(" ") for line in lines)}
