"""What /proc tells about single processes (proc(5))."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def cmdline(pid: int) -> list[str]:
    """Program and arguments; empty for a zombie, a kernel thread, or when the process is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return [word.decode(errors="replace") for word in words[:-1]]


def resident(pid: int) -> int | None:
    """Resident memory in bytes, mapped files included; None when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return None


def available_memory() -> int:
    """Bytes that a new process can have without pushing others out: the kernel's MemAvailable."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def pids() -> Iterator[int]:
    """Every process there is."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def family(pid: int) -> list[int]:
    """A process and its children (`/proc/PID/task/TID/children`); only itself where that cannot be read."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        return found
    return found


def wait_gone(pid: int, timeout: float) -> bool:
    """Whether a process ends within `timeout` seconds; a zombie has ended."""
    deadline = time.monotonic() + timeout
    while cmdline(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
