"""The link `current` is gone while all that it stood for is there."""

from __future__ import annotations

from pathlib import Path

from genesis_stack.reconcile.drift import find_drift
from genesis_stack.reconcile.generations import Generations
from genesis_stack.reconcile.status import read_status
from reconcile.world import World, source_of, stack_of

FIRST = {"a": "one", "b": "one"}
SECOND = {"a": "two", "b": "one"}


def lost(tmp_path: Path) -> World:
    """A host whose second generation is in force, and which has lost its record."""
    world = World(tmp_path)
    world.apply(FIRST)
    world.apply(SECOND)
    world.layout.current.unlink()
    return world


def test_it_is_told(tmp_path: Path) -> None:
    """By the plan, by drift and by the status; nothing else is said to be wrong."""
    world = lost(tmp_path)
    plan = world.host.plan(stack_of(SECOND), source_of(SECOND))
    assert [(step.action, step.target) for step in plan.steps] == [("record", "current")]
    (drift,) = find_drift(world.host)
    assert drift.kind == "no generation"
    assert "genesis-stack apply" in drift.fix
    assert read_status(world.host).sync == "drifted"


def test_an_apply_brings_it_back_and_restarts_nothing(tmp_path: Path) -> None:
    """The generation that was in force is again; no copy of it is made."""
    world = lost(tmp_path)
    world.told.clear()
    assert world.apply(SECOND)
    assert not [line for line in world.told if line.startswith(("start", "restart"))]
    assert Generations(world.layout).current() == 2
    assert Generations(world.layout).numbers() == [1, 2]
    assert find_drift(world.host) == []
    assert not world.apply(SECOND)


def test_another_stack_gets_a_generation_of_its_own(tmp_path: Path) -> None:
    """What was in force is never taken for what it is not."""
    world = lost(tmp_path)
    assert world.apply(FIRST)
    assert Generations(world.layout).current() == 3
    world.check_settled(FIRST)
