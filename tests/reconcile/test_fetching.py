"""A download may take an hour: what the host has become meanwhile is looked at before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack.backends import Desired, Listener, Observation
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.apply import BlockedError, Host, StalePlanError
from genesis_stack.reconcile.generations import Generations
from genesis_stack.spec.model import Stack
from reconcile.fake_backend import FakeBackend
from reconcile.world import DIGEST, WEIGHTS, World, source_of, stack_of

BEFORE = {"a": "one", "b": "one"}
AFTER = {"a": "one", "b": "two"}


class CrowdedBackend(FakeBackend):
    """Once the flag is there, a stranger listens on the port of model a."""

    @property
    def flag(self) -> Path:
        """Where it is."""
        return self.layout.run / "crowded"

    def observe(self, desired: Desired, known: Sequence[PurePosixPath]) -> Observation:
        """With the stranger."""
        seen = super().observe(desired, known)
        stranger = Listener(18900, 4711, "nginx", 0)
        return replace(seen, listeners={18900: stranger}) if self.flag.exists() else seen


def lacking(root: Path) -> World:
    """A host that serves, and has lost its model file."""
    world = World(root)
    world.apply(BEFORE)
    Store(world.layout.models).path(DIGEST).unlink()
    return world


def unsized(models: dict[str, str]) -> Stack:
    """A stack that does not say how large the file is."""
    stack = stack_of(models)
    changed = {
        name: model.model_copy(update={"weights": model.weights.model_copy(update={"size": None})})
        for name, model in stack.models.items()
    }
    return stack.model_copy(update={"models": changed})


def test_a_port_that_is_taken_meanwhile_blocks_before_anything_is_touched(tmp_path: Path) -> None:
    """No server is stopped for a change that cannot be made."""
    world = lacking(tmp_path)
    backend = CrowdedBackend(world.layout)
    host = Host(world.layout, backend, world.told.append)

    def fetch(_: Stack) -> None:
        world.fetch()
        backend.flag.touch()

    with pytest.raises(BlockedError, match="nginx"):
        host.apply(stack_of(AFTER), source_of(AFTER), fetch)
    world.check_settled(BEFORE)
    assert Generations(world.layout).numbers() == [1]


def test_a_saved_plan_that_the_host_has_left_meanwhile_is_not_carried_out(tmp_path: Path) -> None:
    """Whoever read it has not read what would be done now."""
    world = lacking(tmp_path)
    host = world.host
    saved = host.plan(stack_of(AFTER), source_of(AFTER)).fingerprint

    def fetch(_: Stack) -> None:
        world.fetch()
        (world.layout.config / "models/a.json").unlink()

    with pytest.raises(StalePlanError, match="while model files were fetched"):
        host.apply(stack_of(AFTER), source_of(AFTER), fetch, expected=saved)
    assert world.serving() == BEFORE


def test_a_saved_plan_holds_though_the_size_of_a_file_is_known_only_once_it_is_there(tmp_path: Path) -> None:
    """What is done, and why, is as it was shown."""
    world = World(tmp_path)
    Store(world.layout.models).path(DIGEST).unlink()
    stack, source = unsized(AFTER), source_of(AFTER)
    saved = world.host.plan(stack, source)
    shown = next(step.diff for step in saved.steps if step.target.endswith("a.json"))
    assert '+    "size": null' in shown
    world.host.apply(stack, source, world.fetch, expected=saved.fingerprint)
    world.check_settled(AFTER)
    assert f'"size": {len(WEIGHTS)}' in (world.layout.config / "models/a.json").read_text()


def test_a_server_whose_file_was_fetched_again_is_restarted_for_that(tmp_path: Path) -> None:
    """And not for a run that was never interrupted."""
    world = lacking(tmp_path)
    world.told.clear()
    world.apply(BEFORE)
    assert "restart a: its model file is replaced" in world.told
