"""Everything a diagnosis rests on, read once; nothing is changed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack import process
from genesis_stack.backends import Health, ObservedService, Phase, Service
from genesis_stack.dashboard.asking import UnansweredError, client, get_text
from genesis_stack.dashboard.exposition import Exposition
from genesis_stack.dashboard.reading import base_url
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.declared import declared
from genesis_stack.reconcile.drift import Drift, find_drift
from genesis_stack.reconcile.status import last_events
from genesis_stack.render.systemd import service_name
from genesis_stack.spec.model import Stack

LOG_LINES: Final = 200
RECENT_SECONDS: Final = 3600.0
"""How far back a kill by the kernel still matters."""
KERNEL_TIME: Final = re.compile(r"\[\s*([0-9.]+)\]")
"""Seconds since the kernel started, before each of its lines."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One model's server: what the process manager, its own answer, its log and its metrics say.

    `oom` is what was last said of it when memory ran out: by the kernel, or by the memory guard of the
    embedded backend.
    """

    service: Service
    seen: ObservedService
    health: Health
    log: Sequence[str]
    metrics: Exposition
    oom: str

    @property
    def serves(self) -> bool:
        """Whether it is ready, and the one that was applied."""
        return self.health.serves(self.service)

    def value(self, name: str) -> float:
        """The sum of a metric's samples; 0 where there is none."""
        return self.metrics.total(name) or 0.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system with the state; both in bytes."""

    free: int
    size: int


@dataclass(frozen=True, slots=True)
class Symptoms:
    """A host. `generation` is the one in force, `stack` what it was made from.

    `stack` is None also where this version of genesis-stack cannot read it any more. `now` is the clock,
    `last_apply` when the last apply ended, both in UNIX time; `synchronized` tells whether a time service
    keeps the clock, None where that cannot be known.
    """

    backend: str
    generation: int | None
    stack: Stack | None
    state: Path
    drift: Sequence[Drift]
    patients: Sequence[Patient]
    disk: Disk
    now: float
    last_apply: float | None
    synchronized: bool | None


def read_symptoms(host: Host) -> Symptoms:
    """Look at everything once."""
    generations = host.transaction.generations
    number = generations.current()
    desired = generations.load(number)
    seen = host.backend.processes(desired.services)
    events = last_events(host.layout.events)
    kernel = _out_of_memory()
    result = generations.result(number) if number is not None else None
    return Symptoms(
        backend=host.backend.name,
        generation=number,
        stack=declared(desired),
        state=host.layout.state,
        drift=find_drift(host),
        patients=[
            _patient(host, one, seen[one.model], kernel, events.get(one.model, ""))
            for one in desired.services.values()
        ],
        disk=_disk(host.layout.state),
        now=time.time(),
        last_apply=result.finished if result is not None else None,
        synchronized=_synchronized(),
    )


def _patient(
    host: Host, service: Service, seen: ObservedService, kernel: Sequence[str], event: str
) -> Patient:
    alive = seen.phase in {Phase.RUNNING, Phase.STARTING}
    health = host.backend.health(service) if alive else Health("down")
    return Patient(
        service=service,
        seen=seen,
        health=health,
        log=host.backend.log_tail(service.model, LOG_LINES),
        metrics=_metrics(service) if health.serving else Exposition({}),
        oom=next((line for line in reversed(kernel) if f"/{service_name(service.model)}" in line), event),
    )


def _metrics(service: Service) -> Exposition:
    """What the server counts; nothing where it does not tell us."""

    async def ask() -> str:
        async with client(servers=True) as http:
            return await get_text(http, f"{base_url(service)}/metrics")

    try:
        return Exposition.parse(asyncio.run(ask()))
    except (UnansweredError, ValueError):
        return Exposition({})


def _out_of_memory() -> list[str]:
    """What the kernel said of processes that it killed for memory: lately, and since this system started."""
    if shutil.which("dmesg") is None:
        return []
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    since = max(ticks / os.sysconf("SC_CLK_TCK"), uptime - RECENT_SECONDS)
    lines = process.run(["dmesg"], check=False).stdout.splitlines()
    found = [(KERNEL_TIME.match(line), line) for line in lines if "oom-kill:" in line]
    return [line for time_, line in found if time_ and float(time_[1]) >= since]


def _synchronized() -> bool | None:
    """What timedatectl(1) says; None without it, and in a container, whose clock is another machine's."""
    if shutil.which("systemd-detect-virt") is None or shutil.which("timedatectl") is None:
        return None
    container = process.run(["systemd-detect-virt", "--quiet", "--container"], check=False).returncode == 0
    if container:
        return None
    told = process.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], check=False)
    return {"yes": True, "no": False}.get(told.stdout.strip())


def _disk(state: Path) -> Disk:
    while not state.exists():
        state = state.parent
    found = os.statvfs(state)
    return Disk(free=found.f_bavail * found.f_frsize, size=found.f_blocks * found.f_frsize)
