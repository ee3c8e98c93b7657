"""A generation that must prove itself before it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.errors import GenesisError
from genesis_stack.reconcile.transaction import RolledBackError
from reconcile.world import World, source_of, stack_of

OLD, NEW = {"a": "old"}, {"a": "new"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A host that serves the old generation."""
    made = World(tmp_path)
    made.apply(OLD)
    return made


def try_out(world: World, error: BaseException | None) -> None:
    """Apply the new stack; its proof ends so."""

    def prove() -> None:
        assert world.serving() == NEW, "what is tried out does not serve yet"
        if error is not None:
            raise error

    world.host.apply(stack_of(NEW), source_of(NEW), world.fetch, prove=prove)


def test_what_proves_itself_is_kept(world: World) -> None:
    """The proof sees the new servers, and they stay."""
    try_out(world, None)
    assert world.serving() == NEW
    assert not world.apply(NEW)


def test_what_does_not_prove_itself_goes(world: World) -> None:
    """The old generation serves again, with the reason."""
    with pytest.raises(RolledBackError, match="too slow"):
        try_out(world, GenesisError("too slow"))
    assert world.serving() == OLD


def test_a_crash_amid_the_proof_leads_back(world: World) -> None:
    """Nobody knows whether it was good: the next run returns to what was there before."""
    with pytest.raises(KeyboardInterrupt):
        try_out(world, KeyboardInterrupt())
    assert world.host.transaction.recover() == ()
    assert world.serving() == OLD
    world.check_always()
