"""`history` tells every generation, the one in force, and why one is not."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest
from reconcile.fake_backend import BROKEN
from reconcile.world import World

from genesis_stack.cli.history import history
from genesis_stack.reconcile.generations import Generations
from genesis_stack.reconcile.transaction import RolledBackError


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A host with one generation in force and one that failed."""
    world = World(tmp_path)
    world.apply({"a": "one", "b": "one"})
    with contextlib.suppress(RolledBackError):
        world.apply({"a": BROKEN})
    monkeypatch.setattr("genesis_stack.cli.history.open_host", lambda *_: world.host)
    return world


def test_for_programs_it_is_data(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest first."""
    history.main(["--json"], standalone_mode=False)
    failed, good = json.loads(capsys.readouterr().out)["generations"]
    reason = failed.pop("reason")
    generations = Generations(world.layout)
    assert failed == {
        "generation": 2,
        "current": False,
        "created": generations.info(2).created,
        "stack": "world",
        "models": ["a"],
        "outcome": "rolled back",
    }
    assert "a wrote this" in reason.splitlines()[1]
    assert (good["generation"], good["current"], good["models"]) == (1, True, ["a", "b"])
    assert (good["outcome"], good["reason"]) == ("applied", "")


def test_for_people_each_is_a_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With a mark at the one in force, and the first line of what went wrong."""
    history.main([], standalone_mode=False)
    failed, good = capsys.readouterr().out.splitlines()
    when = time.localtime(Generations(world.layout).info(1).created)
    assert good == f"*     1  {time.strftime('%Y-%m-%d %H:%M:%S', when)}  applied  [a b]"
    assert failed.startswith("      2  ")
    assert "rolled back: a" in failed
    assert failed.endswith("  [a]")
