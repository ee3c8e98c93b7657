"""`genesis-stack load` as its user runs it, on the real server with the real small model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from client.fault_proxy import Fault, fault_proxy
from ports import free_port
from waiting import until

from genesis_stack.errors import ExitCode
from genesis_stack.loadtest.setting import ABLE, Target
from genesis_stack.loadtest.traffic import ask
from genesis_stack.spec.loadtest import Task
from loadtest.machine import LOOSE, Loaded, check
from loadtest.runs import run_of

pytestmark = [pytest.mark.model, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Loaded]:
    """A machine that serves what passed the load test that gated it."""
    made = Loaded(tmp_path_factory.mktemp("loaded"), free_port(), str(smollm2))
    made.write()
    done = made.apply("--gate", "smoke")
    assert done.returncode == ExitCode.OK, done.stderr
    assert "smoke: load on smol" in done.stderr
    try:
        yield made
    finally:
        made.down()


def test_a_server_that_is_good_enough_passes(machine: Loaded) -> None:
    """Every promise is measured and kept, nothing fails, and the report stands alone."""
    done, data = machine.load()
    assert done.returncode == ExitCode.OK, json.dumps(data, indent=1)
    assert data["passed"]
    assert check(data, "error_rate")["measured"] == 0
    assert check(data, "ttft_p95")["measured"] > 0
    assert check(data, "tokens_per_second")["measured"] > 0
    page = (machine.root / "report.html").read_text()
    assert not re.search(r"(?:src|href)=|@import|url\(", page), "it needs something from elsewhere"
    assert page.count("<svg") >= 5
    assert re.search(r"^smoke: .* [1-9]\d* answered, 0 failed", done.stderr, re.MULTILINE)
    assert "VIOLATED" not in (machine.root / "report.md").read_text()


@pytest.mark.parametrize("task", sorted(ABLE["text"]))
def test_each_kind_of_request_is_a_good_one(machine: Loaded, task: Task) -> None:
    """The server answers it, and with a text that fills the context as far as it may."""
    target = Target(machine.model, task, f"http://127.0.0.1:{machine.port}", 512, 3, 1.0)
    asked = ask(target, 0)
    answer = httpx.post(target.url + asked.path, json=asked.body, timeout=100)
    assert answer.status_code == 200, answer.text
    assert asked.streams == answer.headers["content-type"].startswith("text/event-stream")


async def test_a_slowed_server_breaks_its_promise(machine: Loaded, tmp_path: Path) -> None:
    """Each answer comes later than promised, and than in a stored run: exit 6, with the figures."""
    async with fault_proxy(machine.port) as proxy:
        proxy.always(Fault(latency=0.6))
        slowed = Loaded(tmp_path, proxy.port, machine.weights)
        slowed.write(slo="{latency_p95: 400ms}")
        stored = slowed.root / "baseline.json"
        stored.write_text(run_of(1).model_dump_json())
        done, data = await asyncio.to_thread(slowed.load, f"--baseline={stored}")
    assert done.returncode == ExitCode.VIOLATED
    broken = check(data, "latency_p95")
    assert not broken["kept"]
    assert broken["promised"] == 0.4
    assert broken["measured"] > 0.6
    assert {one["name"] for one in data["changes"] if one["worse"]} >= {"latency_p95"}


def test_a_server_that_dies_is_seen(machine: Loaded, tmp_path: Path) -> None:
    """Killed amid the run, it fails the test, though another process takes its place."""
    (model,) = machine.status()["models"]
    longer = Loaded(tmp_path, machine.port, machine.weights, duration="2s")
    longer.write()
    running = longer.begin_load()
    busy = re.compile(r"^llamacpp:requests_processing [1-9]", re.MULTILINE)
    metrics = f"http://127.0.0.1:{machine.port}/metrics"
    until(lambda: busy.search(httpx.get(metrics, timeout=30).text), "a request in work", seconds=60)
    os.kill(model["pid"], signal.SIGKILL)
    output, _ = running.communicate(timeout=200)
    assert running.returncode == ExitCode.VIOLATED
    broken = [one for one in json.loads(output)["checks"] if not one["kept"]]
    assert {"error_rate", "restarts"} & {one["promise"] for one in broken}


def test_a_gate_keeps_what_is_good_and_returns_from_what_is_not(machine: Loaded) -> None:
    """`apply --gate` kept the first change, whose load test passed, and undoes one whose test does not."""
    kept = machine.status()["generation"]
    machine.write(description="second", slo="{latency_p95: 1ms}")
    done = machine.apply("--gate", "smoke")
    machine.write(description="first", slo=LOOSE)
    assert done.returncode == ExitCode.ROLLED_BACK, done.stderr
    assert "latency_p95" in done.stderr
    assert machine.status()["generation"] == kept
