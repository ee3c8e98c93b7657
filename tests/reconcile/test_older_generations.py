"""Generations that an older version has rendered."""

from __future__ import annotations

import json
from pathlib import Path

from genesis_stack.backends import Desired
from genesis_stack.reconcile.apply import model_files
from genesis_stack.render import RenderedFile
from reconcile.services import service


def test_the_files_of_an_older_config_are_found() -> None:
    """Whatever fields it lacks or has besides: `status` and `drift` go on after an upgrade."""
    content = json.dumps({"weights": {"path": "/w", "sha256": "0", "size": 1}, "projector": None, "old": 1})
    one = service("a")
    (config,) = one.restart_on
    files = {config: RenderedFile(config, content, 0o644, "")}
    assert model_files(Desired("s", "", files, {"a": one}, ())) == {"a": (Path("/w"),)}
