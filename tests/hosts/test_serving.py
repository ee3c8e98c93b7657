"""The real server with a real model, confined by the rendered units on a real systemd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from small_model import DIGEST, SOURCE

from genesis_stack.protocol.audit import MARK, verify
from genesis_stack.server.audit.sinks import HEAD
from genesis_stack.spec.load import loads
from hosts.nspawn import Host
from hosts.verbs import install_units

pytestmark = [pytest.mark.host, pytest.mark.model]

PORT = 8000
STACK = loads(
    f"""
api_version: genesis.stack/v1
name: serving
models:
  smol:
    port: {PORT}
    weights: {{source: "{SOURCE}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 4}}
    budget: {{memory: 1GiB, cpus: 2}}
"""
)
LOAD = Path(__file__).with_name("load_client.py")
UNIT = "smol-server.service"


@pytest.fixture(scope="module")
def serving(boot_host: Callable[[], AbstractContextManager[Host]], smollm2: Path) -> Iterator[Host]:
    """A host with the units installed and nothing but the socket started."""
    with boot_host() as host:
        install_units(host, STACK, smollm2)
        host.systemctl("start", "smol-server.socket")
        yield host


def test_a_chat_on_the_socket_starts_the_server_and_is_answered(serving: Host) -> None:
    """The whole way: socket unit, sandbox, llama.cpp, HTTP."""
    counted = serving.run(["python3", LOAD, PORT, "smol", 1], input_text="\n", timeout=600)
    assert json.loads(counted.stdout) == {"answered": 1}
    assert serving.show(UNIT, "ActiveState", "Result") == {"Result": "success", "ActiveState": "active"}


def test_the_server_has_no_way_out(serving: Host) -> None:
    """Its network is an empty one of its own: no link but a loopback on which nothing listens."""
    serving.systemctl("start", UNIT)
    pid = serving.show(UNIT, "MainPID")["MainPID"]
    from_inside = ("nsenter", "-t", pid, "-n")
    links = serving.run([*from_inside, "ip", "-brief", "link"]).stdout.splitlines()
    assert [link.split()[0] for link in links] == ["lo"]
    assert serving.run([*from_inside, "ip", "route"]).stdout == ""
    assert serving.run([*from_inside, "ss", "-Hltun"]).stdout == ""


def test_kill_under_load_refuses_no_connection(serving: Host) -> None:
    """Whoever connects while the server is dead waits for the next one; only requests in work are lost."""
    threads = 4
    serving.systemctl("start", UNIT)
    before = serving.show(UNIT, "MainPID")["MainPID"]
    load = serving.start(["python3", LOAD, PORT, "smol", threads])
    serving.wait_for(lambda: connections(serving) >= threads, what="requests in work")
    serving.systemctl("kill", "--signal=KILL", UNIT)
    serving.wait_for(
        lambda: (
            serving.show(UNIT, "MainPID")["MainPID"] not in {before, "0"}
            and serving.show(UNIT, "ActiveState")["ActiveState"] == "active"
        ),
        what="the next server",
    )
    serving.wait_for(lambda: connections(serving) >= threads, what="requests in work again")
    counted = json.loads(load.communicate("\n", timeout=600)[0])
    assert counted["answered"] > 0
    assert counted.keys() <= {"answered", "broken"}
    assert counted.get("broken", 0) <= threads


def test_the_audit_record_reaches_the_journal_and_continues(serving: Host) -> None:
    """From inside the sandbox, and across a restart: the next run names the last record of the one before."""
    for _ in range(2):
        counted = serving.run(["python3", LOAD, PORT, "smol", 1], input_text="\n", timeout=600)
        assert json.loads(counted.stdout) == {"answered": 1}
        serving.systemctl("restart", UNIT)
    serving.systemctl("stop", UNIT)
    serving.run(["journalctl", "--sync"])
    text = serving.run(["journalctl", "--output=cat", "--quiet", f"--unit={UNIT}"]).stdout
    lines = text.encode().splitlines()
    report = verify(lines, strict=False)
    assert report.broken is None
    assert report.requests >= 2
    chained = [number for number, line in enumerate(lines) if line.startswith(MARK)]
    del lines[chained[len(chained) // 2]]
    assert verify(lines, strict=False).broken is not None
    kept = serving.run(["stat", "-c", "%a", f"/var/log/genesis-stack/smol/{HEAD}"]).stdout
    assert kept.strip() == "600"


def connections(host: Host) -> int:
    """Accepted connections to the model's port."""
    return len(host.run(["ss", "-Htn", "state", "established", f"sport = :{PORT}"]).stdout.splitlines())
