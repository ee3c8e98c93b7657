"""Nothing of ours is left but what is named."""

from __future__ import annotations

import contextlib
from pathlib import Path

from genesis_stack import durable
from reconcile.faults import Fault, KilledError
from reconcile.world import World


def used(root: Path) -> World:
    """A host that has served: every place where something of ours may be."""
    world = World(root)
    world.apply({"a": "one"})
    layout = world.layout
    for path in (
        layout.prefix_cache / "a/0001.kv",
        layout.traces / "a/spans.jsonl",
        layout.synthetic / "llama.gguf",
        layout.agent / "record.json",
        layout.run / "root/a/x",
        layout.logs / "a.stdout.log",
        layout.logs / "a/spans.jsonl",
        *world.host.backend.caches,
        layout.config / "access/keys.json",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("ours") if path.suffix else path.mkdir()
    return world


def left(root: Path) -> set[str]:
    """Every file that is there."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


STRANGER = "etc/genesis-stack/models/stranger.txt"


def test_all_that_was_made_is_gone_and_so_are_its_directories(tmp_path: Path) -> None:
    """What clients have said is in caches and spans, too."""
    world = used(tmp_path)
    world.stranger.unlink()
    assert world.host.destroy(keep_models=False) == ()
    assert left(tmp_path) == set()
    assert not any(path.exists() for path in (world.layout.config, world.layout.state, world.layout.run))


def test_what_is_not_ours_to_remove_stays_and_is_named(tmp_path: Path) -> None:
    """Secrets, evidence, what was set aside, and on demand the model files."""
    world = used(tmp_path)
    layout = world.layout
    links, private = world.host.backend.logs
    stays = [
        layout.secrets / "robot",
        private / "a/audit.jsonl",
        private / "a/audit.jsonl.1",
        private / "b/audit.head",
        layout.set_aside / "1-override.conf",
    ]
    for path in (*stays, private / "a/spans.jsonl", private / "c/spans.jsonl", links / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("anything")
    for model in "abc":
        (links / model).symlink_to(private / model)
    told = world.host.destroy(keep_models=True)
    models = {name for name in left(tmp_path) if "/models/" in name and name != STRANGER}
    assert left(tmp_path) - models == {STRANGER, *(str(path.relative_to(tmp_path)) for path in stays)}
    assert models
    assert sorted(path.name for path in links.iterdir()) == ["a", "b"]
    for folder in (layout.models, layout.secrets, layout.config, links, layout.set_aside):
        assert any(one.endswith(f" {folder}") for one in told)
    assert len(told) == 5


def test_a_link_that_a_server_left_in_its_logs_is_not_followed(tmp_path: Path) -> None:
    """It may lead to anything that root can remove."""
    world = used(tmp_path / "host")
    (outside := tmp_path / "outside").mkdir()
    (outside / "precious").write_text("not ours")
    (world.layout.logs / "a/way-out").symlink_to(outside)
    (world.layout.logs / "a/file").symlink_to(outside / "precious")
    world.host.destroy(keep_models=False)
    assert (outside / "precious").exists()
    assert not (world.layout.logs / "a/file").is_symlink()


def test_killed_at_each_step_it_can_be_done_again(tmp_path: Path) -> None:
    """The second run leaves as little as one that was not disturbed."""
    at = 0
    killed = True
    while killed:
        at += 1
        world = used(tmp_path / str(at))
        fault = Fault(at, KilledError())
        with durable.hooked(fault), contextlib.suppress(KilledError):
            world.host.destroy(keep_models=False)
        killed = fault.struck
        world.host.destroy(keep_models=False)
        assert left(world.root) == {STRANGER}
    assert at > 20
