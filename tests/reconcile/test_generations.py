"""Old generations go when they are told to, and nothing that is needed goes with them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from genesis_stack import durable
from genesis_stack.reconcile.generations import GenerationError, Generations
from genesis_stack.reconcile.state import Journal, write_journal
from genesis_stack.reconcile.transaction import RolledBackError
from reconcile.fake_backend import BROKEN
from reconcile.faults import Fault, KilledError
from reconcile.world import World


def with_history(root: Path) -> World:
    """Generations 1 to 5: 3 failed, 5 is in force."""
    world = World(root)
    for description in ("one", "two", BROKEN, "four", "five"):
        with contextlib.suppress(RolledBackError):
            world.apply({"a": description})
    return world


@pytest.mark.parametrize(
    ("keep", "surplus"), [(0, [1, 2, 3, 4]), (1, [1, 2, 3]), (2, [1, 2]), (4, []), (9, [])]
)
def test_the_one_in_force_stays_and_the_newest_besides_it(
    tmp_path: Path, keep: int, surplus: list[int]
) -> None:
    """Also when none besides it is wanted."""
    assert Generations(with_history(tmp_path).layout).surplus(keep) == surplus


def test_where_a_rollback_goes_is_kept_before_a_newer_one_that_failed(tmp_path: Path) -> None:
    """And before those that are newer than the one in force."""
    world = with_history(tmp_path)
    world.host.rollback(4)
    assert Generations(world.layout).surplus(1) == [1, 3, 5]


def test_without_the_link_the_last_one_that_was_applied_counts_as_in_force(tmp_path: Path) -> None:
    """The next apply makes it that again."""
    world = with_history(tmp_path)
    world.layout.current.unlink()
    assert Generations(world.layout).surplus(0) == [1, 2, 3, 4]


def test_both_ends_of_an_interrupted_switch_stay(tmp_path: Path) -> None:
    """The next run goes to one of them."""
    world = with_history(tmp_path)
    write_journal(world.layout, Journal(phase="back", source=2, target=3, restart=()))
    assert Generations(world.layout).surplus(0) == [1, 4]


def test_a_number_is_never_used_again(tmp_path: Path) -> None:
    """Neither that of the newest, nor in a second round."""
    world = with_history(tmp_path)
    generations = Generations(world.layout)
    world.host.rollback(2)
    for expected in (6, 7):
        generations.remove(generations.surplus(0))
        assert len(generations.numbers()) == 1
        world.apply({"a": f"number {expected}"})
        assert generations.current() == expected
        world.host.rollback(generations.before(expected) or 0)


def test_a_damaged_record_of_the_highest_number_is_told(tmp_path: Path) -> None:
    """Whoever starts from 1 again would mix up two histories."""
    world = with_history(tmp_path)
    (world.layout.generations / "highest").write_text("many")
    with pytest.raises(GenerationError, match="highest is damaged"):
        world.apply({"a": "six"})


def test_killed_at_each_step_of_a_removal_no_generation_is_left_by_halves(tmp_path: Path) -> None:
    """What is listed can be gone back to, and the next removal takes the rest."""
    at = 0
    killed = True
    while killed:
        at += 1
        world = World(tmp_path / str(at))
        generations = Generations(world.layout)
        for description in ("one", "two", "three"):
            world.apply({"a": description})
        world.host.rollback(2)
        fault = Fault(at, KilledError())
        with durable.hooked(fault), contextlib.suppress(KilledError):
            generations.remove(generations.surplus(0))
        killed = fault.struck
        world.check_always()
        generations.remove(generations.surplus(0))
        assert {path.name for path in world.layout.generations.iterdir()} == {"00002", "highest"}
        world.apply({"a": "four"})
        assert generations.current() == 4
    assert at > 10
