"""What every backend must do, told once: each scenario is a function of a machine, run as its user would.

A machine runs `genesis-stack` with a fresh tree; the scenarios see nothing but its files, its output and
the port.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from small_model import DIGEST

from genesis_stack.errors import ExitCode
from genesis_stack.process import Completed


class Machine(Protocol):
    """A machine of the test's own, with nothing applied."""

    port: int
    weights: str

    def cli(self, *words: str) -> Completed:
        """Run `genesis-stack`."""

    def write(self, path: str, content: str) -> None:
        """Write a file."""

    def read(self, path: str) -> str:
        """Read a file."""

    def kill(self, pid: int) -> None:
        """SIGKILL."""

    def flip_a_bit(self, digest: str) -> None:
        """Change one byte of a file in the model store."""

    def under_load(self, threads: int, work: Callable[[], None]) -> dict[str, int]:
        """Chat from several threads while `work` runs; how many requests ended in which way."""

    def listening(self) -> bool:
        """Whether anything listens on the port."""

    @property
    def stack(self) -> str:
        """Path of the stack file."""

    @property
    def config(self) -> str:
        """Path of the model's rendered config."""


@dataclass
class Stack:
    """The one-model stack of all scenarios, with the few things that they vary."""

    machine: Machine
    parallel: int = 2
    digest: str = DIGEST
    min_healthy: str = "500ms"
    deadline: str = "60s"
    strategy: str = "queue"

    def write(self) -> Stack:
        """Save it."""
        self.machine.write(
            self.machine.stack,
            f"""
api_version: genesis.stack/v1
name: scenario
defaults:
  reserve: 64MiB
  rollout: {{min_healthy: {self.min_healthy}, deadline: {self.deadline}, strategy: {self.strategy}}}
models:
  smol:
    port: {self.machine.port}
    weights: {{source: "file://{self.machine.weights}", sha256: {self.digest}}}
    engine: {{context: 512, parallel: {self.parallel}}}
    budget: {{memory: 1GiB, cpus: 2}}
""",
        )
        return self

    def apply(self) -> Completed:
        """Write and apply it."""
        self.write()
        return self.machine.cli("apply", self.machine.stack)


def status(machine: Machine) -> dict[str, Any]:
    """What `status --json` says."""
    data: dict[str, Any] = json.loads(machine.cli("status", "--json").stdout)
    return data


def expect(done: Completed, code: int) -> str:
    """Output of a run that had to end with `code`."""
    assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done.stdout


def has_nothing_to_do(machine: Machine) -> bool:
    """Whether an apply of the stack that is written would change nothing."""
    return machine.cli("plan", machine.stack, "--exit-code").returncode == ExitCode.OK


def applied(machine: Machine) -> Stack:
    """A machine that serves."""
    stack = Stack(machine)
    expect(stack.apply(), ExitCode.OK)
    return stack


def a_second_apply_has_nothing_to_do(machine: Machine) -> None:
    """Apply arrives: in sync, healthy, answering; run again it changes nothing and says so in one line."""
    stack = applied(machine)
    found = status(machine)
    assert (found["sync"], found["healthy"], found["generation"]) == ("in sync", True, 1)
    answer = machine.cli("chat", "--message", "Say hello.", "--max-tokens", "4", "--json")
    assert json.loads(expect(answer, ExitCode.OK))["usage"]["completion_tokens"] > 0
    assert len(expect(stack.apply(), ExitCode.OK).splitlines()) == 1
    assert has_nothing_to_do(machine)
    assert status(machine)["models"][0]["uptime"] >= found["models"][0]["uptime"]


def a_saved_plan_is_applied_or_stale(machine: Machine) -> None:
    """A plan does what it says; after anything changed it is refused with its own code."""
    Stack(machine).write()
    plan = machine.stack.replace("stack.yaml", "plan.json")
    expect(machine.cli("plan", machine.stack, "-o", plan, "--exit-code"), ExitCode.CHANGES)
    expect(machine.cli("apply", plan), ExitCode.OK)
    expect(machine.cli("apply", plan), ExitCode.STALE_PLAN)


def a_kill_is_healed_and_refuses_no_connection(machine: Machine) -> None:
    """Whoever connects while the server is dead waits for the next one."""
    applied(machine)
    pid = status(machine)["models"][0]["pid"]
    ends = machine.under_load(2, lambda: _kill_and_wait(machine, pid))
    assert ends.get("refused", 0) == 0, ends
    assert ends["answered"] > 0, ends


def _kill_and_wait(machine: Machine, pid: int) -> None:
    machine.kill(pid)
    expect(machine.cli("chat", "--message", "Hi", "--max-tokens", "1"), ExitCode.OK)


def a_change_under_load_loses_no_request(machine: Machine) -> None:
    """Clients queue while the server restarts with other settings."""
    stack = applied(machine)
    stack.parallel = 4
    ends = machine.under_load(2, lambda: _apply(stack))
    assert set(ends) == {"answered"}, ends
    assert status(machine)["generation"] == 2


def a_replacement_beside_the_old_loses_no_request(machine: Machine) -> None:
    """blue_green: the new server starts on the same socket, the old one drains."""
    stack = Stack(machine, strategy="blue_green")
    expect(stack.apply(), ExitCode.OK)
    stack.parallel = 4
    stack.write()
    assert "replace smol" in machine.cli("plan", machine.stack).stdout
    ends = machine.under_load(2, lambda: _apply(stack))
    assert set(ends) == {"answered"}, ends
    assert has_nothing_to_do(machine)


def _apply(stack: Stack) -> None:
    expect(stack.apply(), ExitCode.OK)


def a_server_that_is_not_ready_in_time_is_rolled_back(machine: Machine) -> None:
    """The generation before serves again, verified, and the exit code says so."""
    stack = applied(machine)
    before = status(machine)["models"][0]
    stack.parallel, stack.min_healthy, stack.deadline = 4, "1ms", "20ms"
    expect(stack.apply(), ExitCode.ROLLED_BACK)
    after = status(machine)
    assert (after["sync"], after["healthy"], after["generation"]) == ("in sync", True, 1)
    assert after["models"][0]["address"] == before["address"]
    assert '"parallel": 2' in machine.read(machine.config)


def a_model_with_a_wrong_digest_never_serves(machine: Machine) -> None:
    """Exit 65, and what served goes on undisturbed."""
    stack = applied(machine)
    before = status(machine)["models"][0]
    stack.digest = "ab" * 32
    expect(stack.apply(), ExitCode.CHECKSUM)
    after = status(machine)
    assert (after["sync"], after["generation"]) == ("in sync", 1)
    assert after["models"][0]["pid"] == before["pid"]


def a_flipped_bit_in_the_store_is_healed(machine: Machine) -> None:
    """Told as drift; the file is fetched again, the server restarted with it."""
    stack = applied(machine)
    before = status(machine)["models"][0]["pid"]
    machine.flip_a_bit(DIGEST)
    assert "model file" in expect(machine.cli("drift"), ExitCode.CHANGES)
    expect(stack.apply(), ExitCode.OK)
    found = status(machine)
    assert (found["sync"], found["healthy"]) == ("in sync", True)
    assert found["models"][0]["pid"] != before


def drift_is_told_and_healed(machine: Machine) -> None:
    """A hand-edited file and a stopped server: named by `drift`, undone by `apply`."""
    stack = applied(machine)
    expect(machine.cli("drift"), ExitCode.OK)
    machine.write(machine.config, machine.read(machine.config).replace('"parallel": 2', '"parallel": 3'))
    assert "edited by hand" in expect(machine.cli("drift"), ExitCode.CHANGES)
    expect(stack.apply(), ExitCode.OK)
    expect(machine.cli("down"), ExitCode.OK)
    assert "stopped" in expect(machine.cli("drift"), ExitCode.CHANGES)
    expect(stack.apply(), ExitCode.OK)
    expect(machine.cli("drift"), ExitCode.OK)
    assert status(machine)["generation"] == 1


def a_rollback_goes_to_the_stored_generation(machine: Machine) -> None:
    """Back to what served before, from its files, though the stack file says otherwise."""
    stack = applied(machine)
    stack.parallel = 4
    expect(stack.apply(), ExitCode.OK)
    assert '-    "parallel": 2' in expect(machine.cli("diff", "1", "2"), ExitCode.OK)
    expect(machine.cli("rollback"), ExitCode.OK)
    found = status(machine)
    assert (found["sync"], found["healthy"], found["generation"]) == ("in sync", True, 1)
    assert '"parallel": 2' in machine.read(machine.config)


def destroy_leaves_nothing(machine: Machine) -> None:
    """No server, no port, no file of ours; a stranger's file beside them stays."""
    applied(machine)
    stranger = machine.config.replace("smol.json", "stranger.txt")
    machine.write(stranger, "mine")
    expect(machine.cli("destroy", "--yes"), ExitCode.OK)
    assert not machine.listening()
    assert machine.read(stranger) == "mine"
    assert status(machine)["sync"] == "nothing applied"


SCENARIOS: Final[Sequence[Callable[[Machine], None]]] = (
    a_second_apply_has_nothing_to_do,
    a_saved_plan_is_applied_or_stale,
    a_kill_is_healed_and_refuses_no_connection,
    a_change_under_load_loses_no_request,
    a_replacement_beside_the_old_loses_no_request,
    a_server_that_is_not_ready_in_time_is_rolled_back,
    a_model_with_a_wrong_digest_never_serves,
    a_flipped_bit_in_the_store_is_healed,
    drift_is_told_and_healed,
    a_rollback_goes_to_the_stored_generation,
    destroy_leaves_nothing,
)
"""All of them."""
