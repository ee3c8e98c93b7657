"""What the exporter says of a host that is as it was applied, and of one that is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from genesis_stack.backends import ObservedService, Phase
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.generations import GenerationError
from genesis_stack.reconcile.host_metrics import HostCollector, Restarts
from genesis_stack.reconcile.lock import held
from genesis_stack.reconcile.transaction import RolledBackError
from reconcile.fake_backend import BROKEN
from reconcile.world import DIGEST, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A host with two models applied."""
    world = World(tmp_path)
    world.apply({"a": "one", "b": "two"})
    return world


def exported(world: World, look_seconds: float = 0.0) -> CollectorRegistry:
    """A registry that asks this host."""
    registry = CollectorRegistry()
    registry.register(HostCollector(world.host, look_seconds))
    return registry


def drifted(registry: CollectorRegistry) -> dict[str, float | None]:
    """Drift by model; "" is the host."""
    return {
        model: registry.get_sample_value("genesis_host_drift", {"model": model}) for model in ("", "a", "b")
    }


def test_a_host_as_it_was_applied_has_no_finding(world: World) -> None:
    """Everything exists, so that every rule has something to compare."""
    registry = exported(world)
    assert drifted(registry) == {"": 0, "a": 0, "b": 0}
    assert registry.get_sample_value("genesis_host_last_apply_failed") == 0
    assert registry.get_sample_value("genesis_host_generation") == 1
    assert registry.get_sample_value("genesis_host_unit_active", {"model": "a"}) == 1
    assert registry.get_sample_value("genesis_host_model_file_intact", {"model": "a"}) == 1
    free, size = (registry.get_sample_value(f"genesis_host_disk_{what}_bytes") for what in ("free", "size"))
    assert free is not None
    assert size is not None
    assert 0 < free < size


def test_drift_is_told_of_the_model_that_it_is_about(world: World) -> None:
    """A config edited by hand; a shared file is the host's."""
    (world.layout.config / "models/a.json").write_text("{}")
    assert drifted(exported(world)) == {"": 0, "a": 1, "b": 0}
    (world.layout.config / "shared.conf").write_text("edited")
    assert drifted(exported(world)) == {"": 1, "a": 1, "b": 0}


def test_a_changed_model_file_is_told(world: World) -> None:
    """Of every model that is made of it."""
    path = Store(world.layout.models).path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(b"something else")
    registry = exported(world)
    assert registry.get_sample_value("genesis_host_model_file_intact", {"model": "b"}) == 0


def test_an_apply_that_went_back_is_told_until_one_arrives(world: World) -> None:
    """The last one that ended decides."""
    with pytest.raises(RolledBackError):
        world.apply({"a": BROKEN})
    assert exported(world).get_sample_value("genesis_host_last_apply_failed") == 1
    world.apply({"a": "three"})
    assert exported(world).get_sample_value("genesis_host_last_apply_failed") == 0


def test_it_looks_for_drift_no_more_often_than_it_may(world: World) -> None:
    """However often somebody asks."""
    registry = exported(world, look_seconds=3600)
    assert drifted(registry)["a"] == 0
    (world.layout.config / "models/a.json").write_text("{}")
    assert drifted(registry)["a"] == 0
    assert drifted(exported(world))["a"] == 1


def test_between_two_looks_it_reads_no_stored_file(world: World) -> None:
    """Not to know what runs; a damaged one is found by the next look."""
    registry = exported(world, look_seconds=3600)
    assert drifted(registry)["a"] == 0
    (stored,) = world.layout.generations.rglob("a.json")
    stored.write_text("damaged")
    assert registry.get_sample_value("genesis_host_unit_active", {"model": "a"}) == 1
    with pytest.raises(GenerationError):
        drifted(exported(world))


def test_it_does_not_look_while_an_apply_is_under_way(world: World) -> None:
    """Half of it is always drift; a journal that is old is that of a run that was interrupted."""
    (world.layout.config / "models/a.json").write_text("{}")
    world.layout.journal.write_text("{}")
    assert drifted(exported(world))["a"] == 0
    os.utime(world.layout.journal, (0, 0))
    world_seen = exported(world)
    assert drifted(world_seen)["a"] == 1


def test_each_new_process_is_a_restart() -> None:
    """Where the process manager does not count; where it does, its count stands."""
    seen = Restarts()
    counts = [seen.see("a", ObservedService(Phase.RUNNING, pid)) for pid in (7, 7, None, 8, 8, 9)]
    assert counts == [0, 0, 0, 1, 1, 2]
    assert seen.see("b", ObservedService(Phase.RUNNING, 1, restarts=5)) == 5


def test_looking_needs_no_lock(world: World) -> None:
    """An exporter must not keep an apply from its host, nor wait for one."""
    with held(world.layout.lock, 0, "a test"):
        assert drifted(exported(world))["a"] == 0
