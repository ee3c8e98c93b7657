"""Locust by itself: a master and its workers."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from ports import free_port

from genesis_stack.loadtest.record import read_record
from genesis_stack.loadtest.run import locustfile
from loadtest.machine import Loaded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_the_master_has_every_request_of_its_workers(tmp_path: Path) -> None:
    """Two workers call a server that is not there; the record holds what both of them saw, to the end."""
    machine = Loaded(tmp_path, free_port(), duration="8s")
    machine.write()
    record, port = tmp_path / "record.json", str(free_port())
    given = {"GENESIS_LOAD_STACK": str(machine.stack), "GENESIS_LOAD_RESULT": str(record)}
    locust = [sys.executable, "-m", "locust", "-f", str(locustfile())]
    master = [
        "--master",
        "--headless",
        "--expect-workers=2",
        f"--master-bind-port={port}",
        "--stop-timeout=5",
    ]
    summary = ["--exit-code-on-error=0", "--json", "--skip-log"]
    with ExitStack() as running:
        workers = [
            running.enter_context(
                subprocess.Popen([*locust, "--worker", f"--master-port={port}"], env=os.environ | given)
            )
            for _ in range(2)
        ]
        done = subprocess.run([*locust, *master, *summary], env=os.environ | given, timeout=200, check=False)
        assert done.returncode == 0
        assert [worker.wait(60) for worker in workers] == [0, 0]
    found = read_record(record)
    assert {sample.error for sample in found.samples} == {"connection: ConnectionRefusedError"}
    last = max(sample.started for sample in found.samples)
    assert last > found.started + 7, "the last reports are missing"
    assert found.generator_cpu > 0
