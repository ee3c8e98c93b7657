"""A run that is killed, or whose disk fails, at any of its steps."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

import pytest

from genesis_stack import durable
from genesis_stack.errors import GenesisError
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.drift import find_drift
from genesis_stack.reconcile.transaction import RollbackFailedError, RolledBackError
from reconcile.fake_backend import BROKEN
from reconcile.faults import Fault, KilledError
from reconcile.world import DIGEST, WEIGHTS, World

BEFORE = {"a": "one", "b": "one"}
AFTER = {"a": "two", "c": "one"}


def steps(world: World, models: dict[str, str]) -> int:
    """How many changes an apply makes."""
    fault = Fault(-1, KilledError())
    with durable.hooked(fault), contextlib.suppress(GenesisError):
        world.apply(models)
    return -1 - fault.left


def test_killed_at_each_step_the_next_run_arrives(tmp_path: Path) -> None:
    """Whatever step was the last: apply again ends at the desired state, and once more does nothing."""
    probe = World(tmp_path / "probe")
    probe.apply(BEFORE)
    count = steps(probe, AFTER)
    assert count > 20
    for at in range(1, count + 1):
        world = World(tmp_path / str(at))
        world.apply(BEFORE)
        fault = Fault(at, KilledError())
        with durable.hooked(fault), pytest.raises(KilledError):
            world.apply(AFTER)
        world.check_always()
        world.apply(AFTER)
        world.check_settled(AFTER)
        assert not world.apply(AFTER)


def test_killed_at_each_step_going_back_is_as_good(tmp_path: Path) -> None:
    """After a kill the operator may also want the old stack: the next run ends there."""
    probe = World(tmp_path / "probe")
    probe.apply(BEFORE)
    for at in range(1, steps(probe, AFTER) + 1, 3):
        world = World(tmp_path / str(at))
        world.apply(BEFORE)
        with durable.hooked(Fault(at, KilledError())), pytest.raises(KilledError):
            world.apply(AFTER)
        world.apply(BEFORE)
        world.check_settled(BEFORE)


def test_killed_at_each_step_of_a_rollback_the_old_stack_serves(tmp_path: Path) -> None:
    """A change that fails its gate, and a kill on top of it: what served before serves again."""
    bad = {"a": "two", "b": BROKEN}
    probe = World(tmp_path / "probe")
    probe.apply(BEFORE)
    for at in range(1, steps(probe, bad) + 1, 2):
        world = World(tmp_path / str(at))
        world.apply(BEFORE)
        with durable.hooked(Fault(at, KilledError())), pytest.raises(KilledError):
            world.apply(bad)
        world.check_always()
        world.apply(BEFORE)
        world.check_settled(BEFORE)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_failing_disk_leaves_the_old_generation_intact(tmp_path: Path, call: str, code: int) -> None:
    """ENOSPC and EIO at each write, fsync and rename: an error, and what served before serves again."""
    for at in range(1, 200, 3):
        world = World(tmp_path / str(at))
        world.apply(BEFORE)
        fault = Fault(at, OSError(code, "injected"), only=call)
        with durable.hooked(fault), contextlib.suppress(OSError, RolledBackError):
            world.apply(AFTER)
        if not fault.struck:
            assert at > 5
            return
        world.check_always()
        world.apply(BEFORE)
        world.check_settled(BEFORE)


def test_a_failed_gate_brings_the_previous_generation_back(tmp_path: Path) -> None:
    """Exit code 4, the last log lines in the message, and nothing left of the change."""
    world = World(tmp_path)
    world.apply(BEFORE)
    with pytest.raises(RolledBackError, match="b wrote this"):
        world.apply({"a": "two", "b": BROKEN})
    world.check_settled(BEFORE)


def test_a_first_apply_that_fails_leaves_a_clean_host(tmp_path: Path) -> None:
    """There is no generation to go back to: the host is as it was."""
    world = World(tmp_path)
    with pytest.raises(RolledBackError):
        world.apply({"a": BROKEN})
    world.check_settled({})


def test_a_way_back_that_fails_is_taken_up_again_and_nothing_of_ours_is_left(tmp_path: Path) -> None:
    """Exit code 5; the next apply tries again, and even when that fails too it prunes what was begun."""
    world = World(tmp_path)
    world.apply(BEFORE)
    failures = 2

    def fault(what: str) -> None:
        nonlocal failures
        if what == "start c":
            raise OSError(errno.EIO, "injected")
        if what.startswith("remove") and what.endswith("c.json") and failures:
            failures -= 1
            raise OSError(errno.EIO, "injected")

    with durable.hooked(fault):
        with pytest.raises(RollbackFailedError):
            world.apply(AFTER)
        world.check_always()
        world.apply(BEFORE)
    assert failures == 0
    world.check_settled(BEFORE)


def test_a_swapped_model_file_is_fetched_again_and_its_servers_restarted(tmp_path: Path) -> None:
    """Bytes that changed under a running server are told as drift and do not stay."""
    world = World(tmp_path)
    world.apply(BEFORE)
    stored = Store(world.layout.models).path(DIGEST)
    stored.chmod(0o644)
    stored.write_bytes(WEIGHTS[::-1])
    assert {one.kind for one in find_drift(world.host)} == {"model file"}
    world.told.clear()
    world.apply(BEFORE)
    world.check_settled(BEFORE)
    assert any(line.startswith("restart a") for line in world.told)
    assert find_drift(world.host) == []
