"""From a thing that breaks to the one who is told: real server, real model, Prometheus and Alertmanager."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from waiting import until

from genesis_stack.process import run
from monitoring.healthy import healthy_hour
from monitoring.watched import Watched, receiver

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(900)]

TUNED = """
  SlowFirstToken: {threshold: 500ms, for: 0s}
  QueueSaturated: {threshold: 40%, for: 0s}
  AuthFailureSpike: {for: 0s}
"""
CAPTURE_SECONDS = 15
CLIENTS = "clients: {app: {models: [smol], requests_per_minute: 60, tokens_per_minute: 10000}}"


@pytest.fixture(scope="module")
def machine(smollm2: Path) -> Iterator[Watched]:
    """One machine for all: what one test breaks, it repairs."""
    with tempfile.TemporaryDirectory(prefix="gs-") as folder, receiver() as (url, told):
        machine = Watched(Path(folder), smollm2, url, told)
        try:
            done = machine.apply(alerts=TUNED)
            assert done.returncode == 0, done.stderr
            until(
                lambda: machine.query("query", query='up{job="genesis"} == 1')["result"],
                "a scrape",
                seconds=300,
            )
            yield machine
        finally:
            machine.pool.shutdown()
            machine.cli("destroy", "--yes")


def test_a_healthy_hour_fires_nothing(machine: Watched, tmp_path: Path) -> None:
    """What the real server exports under load, carried on for an hour under the shipped rules."""
    begun = time.time()
    while time.time() - begun < CAPTURE_SECONDS:
        assert machine.chat(tokens=32) == 200
    captured = machine.query("query", query=f'{{job=~"genesis.*"}}[{CAPTURE_SECONDS}s]')["result"]
    rules = tmp_path / "genesis.rules.yml"
    rules.write_text(machine.rules_at("15s"))
    hour = tmp_path / "hour.test.yml"
    hour.write_text(yaml.safe_dump(healthy_hour(captured, rules.name)))
    assert len(captured) > 100
    assert run(["promtool", "test", "rules", hour]).returncode == 0
    broken = [
        {**one, "metric": {**one["metric"], "__name__": "up"}, "values": [[0, "0"], [1, "0"]]}
        for one in captured[:1]
    ]
    hour.write_text(yaml.safe_dump(healthy_hour(broken, rules.name)))
    assert run(["promtool", "test", "rules", hour], check=False).returncode != 0


def test_a_server_that_hangs_is_told_and_so_is_its_return(machine: Watched) -> None:
    """ServerDown arrives, inhibits what else is wrong with this server, and resolves."""
    machine.signal(signal.SIGSTOP)
    machine.expect("ServerDown", "firing")
    machine.signal(signal.SIGCONT)
    machine.expect("ServerDown", "resolved")


def test_a_full_queue_and_a_slow_first_token_are_told(machine: Watched) -> None:
    """One request runs, three wait, until both were told; when nobody has to wait any more, both end."""
    told = threading.Event()
    waiting = [machine.pool.submit(machine.chat_until, told) for _ in range(4)]
    try:
        machine.expect("QueueSaturated", "firing")
        machine.expect("SlowFirstToken", "firing")
    finally:
        told.set()
    assert {status for one in waiting for status in one.result()} == {200}
    machine.expect("QueueSaturated", "resolved")
    machine.expect("SlowFirstToken", "resolved")


def test_memory_that_grows_above_its_limit_is_told(machine: Watched) -> None:
    """Prompts that are kept make it grow; the limit came by a reload that leaves the server alone."""
    before = machine.pid()
    resident = float(machine.query("query", query="genesis_memory_resident_bytes")["result"][0]["value"][1])
    limit = f"{(resident + 24 * 2**20) / 2**30 * 100:.4f}%"
    done = machine.apply(alerts=f"{TUNED}  HighMemoryUsage: {{threshold: {limit}, for: 0s}}")
    assert done.returncode == 0, done.stderr
    assert machine.pid() == before
    assert ("HighMemoryUsage", "firing") not in machine.active()
    for prompt in range(10):
        assert machine.chat(tokens=1, prompt=" ".join(str(prompt * 1000 + word) for word in range(90))) == 200
    machine.expect("HighMemoryUsage", "firing")
    os.kill(before, signal.SIGKILL)
    machine.expect("HighMemoryUsage", "resolved")


def test_wrong_keys_are_told(machine: Watched) -> None:
    """Declared clients close the server to all others; somebody tries keys."""
    assert machine.apply(alerts=TUNED, extra=CLIENTS).returncode == 0
    for number in range(20):
        assert machine.chat(key=f"gsk_guess_{number}") == 401
    machine.expect("AuthFailureSpike", "firing")
    machine.expect("AuthFailureSpike", "resolved")


def test_nothing_else_was_told(machine: Watched) -> None:
    """One broken thing is one alert, not a storm."""
    assert machine.told.names() <= {
        "ServerDown",
        "SlowFirstToken",
        "QueueSaturated",
        "HighMemoryUsage",
        "AuthFailureSpike",
    }
