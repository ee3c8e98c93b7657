"""Keys and limits of clients on each backend, as an operator changes them: with the real model and server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.nspawn import Host
from ports import free_port
from small_model import DIGEST
from waiting import until

from backends.booted import Booted
from backends.calling import ask
from backends.here import Here
from backends.scenarios import Machine, expect, status
from genesis_stack.errors import ExitCode
from genesis_stack.protocol.signature import CLOCK_SKEW

pytestmark = [pytest.mark.model, pytest.mark.timeout(240)]
STACK = """
api_version: genesis.stack/v1
name: clients
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 500ms, deadline: 60s}}}}
models:
  smol:
    port: {port}
    weights: {{source: "file://{weights}", sha256: {digest}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 2}}
clients:
  alice: {{models: [smol], requests_per_minute: {requests}}}
  robot: {{models: [smol], require_signature: true, keys: {{main: {{secret: robot-key}}}}}}
"""


@pytest.fixture
def here(smollm2: Path) -> Iterator[Here]:
    """This machine, below a directory with a path short enough for unix sockets."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        machine = Here(Path(folder), port, str(smollm2))
        try:
            yield machine
        finally:
            machine.cli("destroy", "--yes")


def write_stack(machine: Machine, requests: int) -> None:
    """Declare two clients, one with so many requests a minute."""
    text = STACK.format(port=machine.port, weights=machine.weights, digest=DIGEST, requests=requests)
    machine.write(machine.stack, text)


def signed_soon(machine: Machine, key: str) -> bool:
    """Whether a signature is good, once one can be told from those made before the server's start."""

    def answer() -> int | None:
        status = ask(machine, "signed", key)
        return None if status == 503 else status

    return until(answer, "a signature that can be judged", seconds=CLOCK_SKEW + 10) == 200


def keys_and_limits_change_while_it_serves(machine: Machine, *, restarts_for_secrets: bool) -> None:
    """From a stack whose clients have no keys yet to replaced ones: nobody is refused a connection."""
    write_stack(machine, 60)
    blocked = machine.cli("apply", machine.stack)
    assert (blocked.returncode, "clients add" in blocked.stderr) == (ExitCode.FAILED, True)
    issue = ("clients", "add", "--stack", machine.stack)
    robot = expect(machine.cli(*issue, "robot"), ExitCode.OK).strip()
    old = expect(machine.cli(*issue, "alice"), ExitCode.OK).strip()
    expect(machine.cli("apply", machine.stack), ExitCode.OK)
    (before,) = status(machine)["models"]
    assert (ask(machine, "stranger"), ask(machine, "bearer", old)) == (401, 200)
    assert signed_soon(machine, robot)
    assert ask(machine, "bearer", robot) == 401

    new = expect(machine.cli("clients", "rotate", "alice"), ExitCode.OK).strip()
    assert (ask(machine, "bearer", old), ask(machine, "bearer", new)) == (200, 200)
    expect(machine.cli("clients", "revoke", "alice", old.split("_")[1]), ExitCode.OK)
    assert (ask(machine, "bearer", old), ask(machine, "bearer", new)) == (401, 200)

    write_stack(machine, 1000)
    plan = json.loads(expect(machine.cli("plan", machine.stack, "--json"), ExitCode.OK))
    assert [step["action"] for step in plan["steps"]] == ["write", "reread"]
    expect(machine.cli("apply", machine.stack), ExitCode.OK)
    (after,) = status(machine)["models"]
    assert (after["pid"], after["health"]) == (before["pid"], "ready")

    rotated = []
    ends = machine.under_load(2, lambda: rotated.append(machine.cli("clients", "rotate", "robot")))
    assert set(ends) == {"status 401"}  # those that call know no key, and each one is answered
    assert signed_soon(machine, expect(rotated[0], ExitCode.OK).strip())
    (last,) = status(machine)["models"]
    assert (last["pid"] != before["pid"]) == restarts_for_secrets


@pytest.mark.embedded
def test_embedded(here: Here) -> None:
    """No restart at all: secrets are files that the server reads."""
    keys_and_limits_change_while_it_serves(here, restarts_for_secrets=False)


@pytest.mark.host
def test_systemd(host: Host, smollm2: Path) -> None:
    """A new signing secret is handed over at a start, behind the open socket; everything else needs none."""
    keys_and_limits_change_while_it_serves(Booted(host, str(smollm2)), restarts_for_secrets=True)
