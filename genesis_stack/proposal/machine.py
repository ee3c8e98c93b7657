"""What a proposal rests on: memory, processors and their instructions, disk, ports, what is installed."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.modelstore.host import LocalHost, read_host

FAST: Final = {"x86_64": frozenset({"avx2", "fma"}), "aarch64": frozenset({"asimddp"})}
"""Vector instructions without which llama.cpp takes several times as long, by architecture."""
_TOLD: Final = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "sve")
_PORTS: Final = range(8000, 8100)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. `disk` is what is free for model files, in bytes; `ports` are free ones, lowest first.

    `instructions` are those of the processor that matter here. `prometheus` tells that it is installed.
    """

    host: LocalHost
    disk: int
    instructions: tuple[str, ...]
    fast: bool
    systemd: bool
    prometheus: bool
    ports: tuple[int, ...]


def read_machine(layout: Layout, ours: Collection[int] = (), root: Path = Path("/")) -> Machine:
    """Look at this machine; `layout` says where model files will be, `ours` are ports of what is applied.

    Sources: /proc/cpuinfo (proc_cpuinfo(5)), statvfs(3), and those of `read_host`.

    Raises:
        GenesisError: /proc/meminfo cannot be read.
    """
    from genesis_stack.backends.ports import listening

    flags = _flags(root)
    needed = FAST.get(platform.machine(), frozenset())
    return Machine(
        host=read_host(root),
        disk=_free(layout.models),
        instructions=tuple(name for name in _TOLD if name in flags),
        fast=not flags or needed <= flags,
        systemd=(root / "run/systemd/system").is_dir(),  # sd_booted(3)
        prometheus=shutil.which("prometheus") is not None,
        ports=tuple(sorted(set(_PORTS) - (set(listening(_PORTS)) - set(ours)))),
    )


def _flags(root: Path) -> frozenset[str]:
    """The processor's features; x86 calls them flags, ARM Features."""
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()


def _free(directory: Path) -> int:
    """Bytes that may be written below a directory, which need not exist yet."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
