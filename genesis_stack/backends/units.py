"""What systemd says of our units, read from one `systemctl show`; see org.freedesktop.systemd1(5)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from genesis_stack.backends.interface import ObservedService, Phase

PROPERTIES: Final = (
    "Id",
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "MainPID",
    "NRestarts",
    "ActiveEnterTimestampMonotonic",
    "MemoryCurrent",
    "MemoryMax",
    "TasksMax",
    "CPUQuotaPerSecUSec",
    "NeedDaemonReload",
    "DropInPaths",
)
PHASES: Final = {
    "active": Phase.RUNNING,
    "reloading": Phase.RUNNING,
    "activating": Phase.STARTING,
    "deactivating": Phase.STARTING,
    "failed": Phase.FAILED,
    "inactive": Phase.STOPPED,
}
Unit = Mapping[str, str]
"""Property → value."""

_SPAN: Final = re.compile(r"([\d.]+)(us|ms|s|min|h)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
LIMITS: Final = ("MemoryMax", "TasksMax", "CPUQuota")
OTHERS: Final = (*LIMITS, "Description", "Exec", "BindReadOnlyPaths", "Timeout", "Restart", "Limit", "Memory")
"""Directives, by their beginnings, that say nothing of a sandbox's strength."""


def parse_show(text: str) -> dict[str, Unit]:
    """Units by name, from `systemctl show`: `Property=value` lines, one blank line between units."""
    units: dict[str, Unit] = {}
    for block in text.split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if unit:
            units[unit["Id"]] = unit
    return units


def observed(service: Unit, socket: Unit, declared: Mapping[str, str]) -> ObservedService:
    """A server, from its service and its socket unit; `declared` are the limits of its unit file."""
    if service.get("LoadState") != "loaded":
        return ObservedService(Phase.ABSENT, listening=False, enabled=False)
    pid = int(service["MainPID"])
    memory = service["MemoryCurrent"]
    return ObservedService(
        phase=PHASES.get(service["ActiveState"], Phase.STOPPED),
        pid=pid or None,
        since=_unix_time(int(service["ActiveEnterTimestampMonotonic"])),
        restarts=int(service["NRestarts"]),
        memory=int(memory) if memory.isdecimal() else None,
        enabled=service["UnitFileState"] == socket["UnitFileState"] == "enabled",
        listening=socket["ActiveState"] == "active",
        stale="yes" in {service["NeedDaemonReload"], socket["NeedDaemonReload"]},
        limits=differing(declared, effective_limits(service)),
    )


def observed_monitor(service: Unit, declared: Mapping[str, str]) -> ObservedService:
    """A program that opens its own port, from its service unit; or a timer, which has no process."""
    if service["Id"].endswith(".timer"):
        return _observed_timer(service)
    socket = {
        "UnitFileState": service.get("UnitFileState", ""),
        "ActiveState": "active",
        "NeedDaemonReload": "no",
    }
    return observed(service, socket, declared)


def _observed_timer(timer: Unit) -> ObservedService:
    if timer.get("LoadState") != "loaded":
        return ObservedService(Phase.ABSENT, enabled=False)
    return ObservedService(
        PHASES.get(timer["ActiveState"], Phase.STOPPED),
        enabled=timer["UnitFileState"] == "enabled",
        stale=timer["NeedDaemonReload"] == "yes",
    )


def _unix_time(monotonic_us: int) -> float | None:
    if monotonic_us == 0:
        return None
    return time.time() - (time.clock_gettime(time.CLOCK_MONOTONIC) - monotonic_us / 1e6)


def drop_ins(unit: Unit) -> list[Path]:
    """Drop-ins that were made for this very unit; those for all services of the host are its owner's."""
    paths = map(Path, unit.get("DropInPaths", "").split())
    return [path for path in paths if path.parent.name == f"{unit['Id']}.d"]


def declared_limits(unit_file: str) -> dict[str, str]:
    """The limits that a unit file sets, in the form in which `effective_limits` gives them."""
    found = {}
    for line in unit_file.splitlines():
        name, _, value = line.partition("=")
        if name == "CPUQuota":
            found[name] = f"{float(value.rstrip('%')):g}%"
        elif name in LIMITS:
            found[name] = value.strip()
    return found


def sandbox_of(unit_file: str) -> frozenset[str]:
    """The lines of a unit file that can change its exposure: not its budget, files, or times."""
    names = (line.partition("=")[0] for line in unit_file.splitlines())
    lines = zip(names, unit_file.splitlines(), strict=True)
    return frozenset(line for name, line in lines if name and not name.startswith((*OTHERS, "#", "[")))


def effective_limits(unit: Unit) -> dict[str, str]:
    """The limits that are in force; `infinity` where there is none."""
    quota = unit["CPUQuotaPerSecUSec"]
    cpus = sum(float(number) * _SECONDS[scale] for number, scale in _SPAN.findall(quota))
    return {
        "MemoryMax": unit["MemoryMax"],
        "TasksMax": unit["TasksMax"],
        "CPUQuota": f"{cpus * 100:g}%" if cpus else quota,
    }


def differing(declared: Mapping[str, str], effective: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Limits whose effective value is not the declared one."""
    pairs: Iterable[tuple[str, tuple[str, str]]] = (
        (name, (value, effective.get(name, "unset"))) for name, value in declared.items()
    )
    return {name: pair for name, pair in pairs if pair[0] != pair[1]}
