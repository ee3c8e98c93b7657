"""One measurement: a fresh server, a warm-up, the load client, figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.serving.client import Outcome
from benchmarks.serving.figures import Figures, complaints, figures
from benchmarks.serving.prompts import chat_body
from benchmarks.serving.running import Footprint, Server, machine_cpu_seconds
from benchmarks.serving.scenarios import Scenario, churn_shots
from benchmarks.serving.transcript import Answer
from benchmarks.serving.workload import Shot, Workload

_ROOT = Path(__file__).resolve().parents[2]
_SETTLE_SECONDS = 20.0
_WARM_UP_CONNECTS = 150


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one run of the load client brought back."""

    outcomes: tuple[Outcome, ...]
    wall: float
    cpu: float
    server_cpu: float
    machine_cpu: float

    def share(self, seconds: float) -> float:
        """CPU seconds as a share of all that the machine had to give meanwhile."""
        return seconds / (self.wall * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One scenario on one fresh server in one round.

    `server_cpu`, `client_cpu` and `foreign_cpu` are shares of the machine. What is foreign is neither the
    server nor the client: a round in which it is more than a few percent says little.
    """

    scenario: str
    peer: str
    round: int
    figures: Figures
    complaints: Mapping[str, int]
    server_cpu: float
    client_cpu: float
    foreign_cpu: float
    before: Footprint | None = None
    after: Footprint | None = None


def measure(server: Server, scenario: Scenario, *, number: int, seed: int, deadline: float) -> Measurement:
    """Run a scenario once; the same seed and round give every peer the same requests."""
    _warm_up(server, deadline)
    load = _run_client(server, scenario.shots(Random(f"{seed}/{scenario.name}/{number}")), deadline)
    return _measurement(scenario.name, server, number, load)


def measure_churn(server: Server, connects: int, *, number: int, seed: int, deadline: float) -> Measurement:
    """Disconnect at random moments; compare what the process holds with its baseline after a warm-up.

    The warm-up is a churn of its own, so that pools, arenas and caches have reached their size.
    """
    random = Random(f"{seed}/churn/{number}")
    _warm_up(server, deadline)
    _run_client(server, churn_shots(random, _WARM_UP_CONNECTS), deadline)
    before = _settled(server, None)
    load = _run_client(server, churn_shots(random, connects), deadline)
    return _measurement("churn", server, number, load, before=before, after=_settled(server, before))


def _measurement(
    scenario: str,
    server: Server,
    number: int,
    load: LoadResult,
    *,
    before: Footprint | None = None,
    after: Footprint | None = None,
) -> Measurement:
    return Measurement(
        scenario=scenario,
        peer=server.peer.name,
        round=number,
        figures=figures(load.outcomes, wall=load.wall, intruded=scenario == "intrusion"),
        complaints=complaints(load.outcomes),
        server_cpu=load.share(load.server_cpu),
        client_cpu=load.share(load.cpu),
        foreign_cpu=max(0.0, load.share(load.machine_cpu - load.server_cpu - load.cpu)),
        before=before,
        after=after,
    )


def _warm_up(server: Server, deadline: float) -> None:
    body = chat_body(system="Be brief.", user="Say hello to the world.", max_tokens=16, seed=1)
    _run_client(server, (Shot(0, body),), deadline)


def _settled(server: Server, baseline: Footprint | None) -> Footprint:
    """The footprint once it is back at the baseline, or what it is when patience ends."""
    until = time.monotonic() + _SETTLE_SECONDS
    while True:
        now = server.footprint()
        ceiling = baseline or now
        idle = now.busy_slots == 0
        if idle and now.descriptors <= ceiling.descriptors and now.threads <= ceiling.threads:
            return now
        if time.monotonic() > until:
            return now
        time.sleep(0.25)


def _run_client(server: Server, shots: tuple[Shot, ...], deadline: float) -> LoadResult:
    server_before, machine_before = server.cpu_seconds(), machine_cpu_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.client"],
        input=Workload(server.port, deadline, shots).to_json(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=_ROOT,
    )
    server_cpu = server.cpu_seconds() - server_before
    machine_cpu = machine_cpu_seconds() - machine_before
    raw = json.loads(done.stdout)
    outcomes = tuple(Outcome(**(one | {"answer": Answer(**one["answer"])})) for one in raw["outcomes"])
    return LoadResult(
        outcomes, wall=raw["wall"], cpu=raw["cpu"], server_cpu=server_cpu, machine_cpu=machine_cpu
    )
