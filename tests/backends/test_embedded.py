"""The embedded backend with real processes: a circus arbiter, and servers without an engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ports import free_port
from reconcile.world import DIGEST, WEIGHTS
from waiting import until

from genesis_stack.backends import ports
from genesis_stack.backends.embedded import EmbeddedBackend
from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.apply import BlockedError, Host
from genesis_stack.reconcile.status import read_status
from genesis_stack.reconcile.transaction import RolledBackError
from genesis_stack.render import Runtime
from genesis_stack.spec.model import Stack

STAND_IN = Path(__file__).with_name("stand_in_server.py")


@dataclass
class Machine:
    """A tree with a stand-in for `genesis-serve`."""

    root: Path
    told: list[str] = field(default_factory=list)
    deadline: str = "20s"

    def __post_init__(self) -> None:
        program = self.root / "venv/bin/genesis-serve"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(STAND_IN)!r})\n")
        program.chmod(0o755)
        self.layout = Layout.under(self.root)
        store = Store(self.layout.models)
        with store.writing("a test"):
            store.part(DIGEST).write_bytes(WEIGHTS)
            store.admit(store.part(DIGEST), DIGEST, len(WEIGHTS), "a test")
        self.backend = EmbeddedBackend(self.layout, Runtime(PurePosixPath(self.root / "venv")))
        self.host = Host(self.layout, self.backend, self.told.append)

    def apply(self, **models: tuple[int, str]) -> bool:
        """Apply models by name: port and description; whether there was anything to do."""
        stack = Stack.model_validate(
            {
                "api_version": "genesis.stack/v1",
                "name": "t",
                "defaults": {"rollout": {"min_healthy": "200ms", "deadline": self.deadline}},
                "models": {
                    name: {
                        "port": port,
                        "description": description,
                        "weights": {"source": "file:///gone", "sha256": DIGEST, "size": len(WEIGHTS)},
                        "budget": {"memory": "96MiB", "cpus": 1},
                        "limits": {"drain_timeout": "2s"},
                    }
                    for name, (port, description) in models.items()
                },
            }
        )
        return not self.host.apply(stack, str(models), lambda _: None).empty


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A tree whose path is short enough for unix sockets, with nothing left running in the end."""
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        machine = Machine(Path(folder))
        try:
            yield machine
        finally:
            machine.backend.shutdown()


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_port()


def ask(port: int) -> dict[str, Any]:
    """The stand-in's answer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_killed_arbiter_is_replaced_with_its_servers(machine: Machine, port: int) -> None:
    """Its servers outlive it and hold the port; the next apply ends them and starts anew."""
    machine.apply(a=(port, ""))
    orphan = ask(port)["pid"]
    arbiter = machine.backend.arbiter.pid
    assert arbiter is not None
    os.kill(arbiter, signal.SIGKILL)
    until(lambda: machine.backend.arbiter.pid is None, "the arbiter is gone")
    assert ask(port)["pid"] == orphan
    assert machine.apply(a=(port, ""))
    assert ask(port)["pid"] != orphan
    assert not machine.apply(a=(port, ""))


def test_a_killed_server_comes_back_while_its_clients_wait(machine: Machine, port: int) -> None:
    """The very next connection is answered, by another process."""
    machine.apply(a=(port, ""))
    before = ask(port)["pid"]
    os.kill(before, signal.SIGKILL)
    assert ask(port)["pid"] != before


def test_a_change_of_one_model_leaves_the_other_alone(machine: Machine, port: int) -> None:
    """Only what changed is restarted; a removed model's port closes, with its neighbour still up."""
    other = free_port()
    machine.apply(a=(port, ""), b=(other, ""))
    before = ask(port)["pid"], ask(other)["pid"]
    machine.apply(a=(port, ""), b=(other, "load=0.3"))
    assert ask(port)["pid"] == before[0]
    assert ask(other)["pid"] != before[1]
    machine.apply(a=(port, ""))
    assert ask(port)["pid"] == before[0]
    assert other not in ports.listening({other})


def test_a_model_moves_to_another_port(machine: Machine, port: int) -> None:
    """The old port closes, the new one opens."""
    machine.apply(a=(port, ""))
    new = free_port()
    machine.apply(a=(new, ""))
    assert ask(new)["status"] == "ready"
    assert port not in ports.listening({port})


@pytest.mark.parametrize("fault", ["crash", "fail", "never-ready"])
def test_a_server_that_does_not_get_ready_is_rolled_back(machine: Machine, port: int, fault: str) -> None:
    """Whether it dies, says so, or says nothing: what served before serves again."""
    machine.apply(a=(port, ""))
    machine.deadline = "5s"
    with pytest.raises(RolledBackError):
        machine.apply(a=(port, fault))
    machine.deadline = "20s"
    assert ask(port)["description"] == ""
    assert not machine.apply(a=(port, ""))


def test_a_program_that_cannot_be_run_is_rolled_back(machine: Machine, port: int) -> None:
    """The host is as it was, and the next apply works."""
    program = machine.root / "venv/bin/genesis-serve"
    program.rename(program.with_suffix(".away"))
    with pytest.raises(RolledBackError, match="could not be run"):
        machine.apply(a=(port, ""))
    assert machine.backend.arbiter.pid is None
    program.with_suffix(".away").rename(program)
    assert machine.apply(a=(port, ""))


def test_a_taken_port_is_refused_by_name_before_anything_starts(machine: Machine) -> None:
    """The message says which process holds it."""
    held = pytest.raises(BlockedError, match=rf"process {os.getpid()} \(")
    with socket.create_server(("127.0.0.1", 0)) as taken, held:
        machine.apply(a=(int(taken.getsockname()[1]), ""))
    assert machine.backend.arbiter.pid is None
    assert not (machine.layout.state / "generations").exists()


def test_a_server_above_its_memory_budget_is_restarted_with_an_event(machine: Machine, port: int) -> None:
    """There is no kernel limit here: the guard restarts it, and status says so."""
    machine.apply(a=(port, ""))
    config = machine.layout.config / "models/a.json"
    machine.apply(a=(port, "hog=120"))
    before = ask(port)["pid"]
    until(lambda: ask(port)["pid"] != before, "the hog is restarted")
    assert "restarted" in read_status(machine.host).models[0].event
    assert json.loads(config.read_text())["budget"]["memory"] == 96 * 2**20


def test_down_ends_every_process_and_apply_brings_them_back(machine: Machine, port: int) -> None:
    """Nothing runs, nothing listens, nothing is lost."""
    machine.apply(a=(port, ""))
    assert machine.host.down() == ["a"]
    assert machine.backend.arbiter.pid is None
    assert port not in ports.listening({port})
    assert machine.apply(a=(port, ""))
    assert ask(port)["status"] == "ready"


def test_an_ini_that_is_not_ours_is_set_aside_and_kept(machine: Machine, port: int) -> None:
    """The arbiter would have read it."""
    machine.apply(a=(port, ""))
    stranger = machine.layout.config / "circus.d/stranger.ini"
    stranger.write_text("[watcher:stranger]\ncmd = sleep 1000\n")
    assert machine.apply(a=(port, ""))
    assert not stranger.exists()
    (kept,) = (machine.layout.state / "set-aside").iterdir()
    assert "sleep 1000" in kept.read_text()


def test_a_root_too_long_for_unix_sockets_is_refused_with_the_reason(tmp_path: Path, port: int) -> None:
    """107 bytes are all that a socket's path may have."""
    machine = Machine(tmp_path / ("x" * 100))
    with pytest.raises(RolledBackError, match="unix socket"):
        machine.apply(a=(port, ""))
