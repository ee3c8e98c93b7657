"""More models than fit at once, without systemd: applied, asked and looked at as their user would."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from program import embedded
from small_model import DIGEST

from backends.scenarios import expect
from genesis_stack.errors import ExitCode
from genesis_stack.modelstore.host import read_host
from genesis_stack.process import Completed

pytestmark = [pytest.mark.model, pytest.mark.embedded, pytest.mark.timeout(180)]


class Here:
    """This machine, below a directory of the test's own."""

    def __init__(self, root: Path, weights: Path) -> None:
        self.root = root
        self.stack = root / "stack.yaml"
        self._weights = weights
        self.ports = {"one": free_port(), "other": free_port()}

    def cli(self, *words: str) -> Completed:
        """Run the installed program."""
        return embedded(self.root, *words)

    def write(self, residency: str) -> None:
        """A stack of two models, each of which takes three fifths of this host."""
        models = "".join(
            f"""
  {name}:
    port: {port}
    weights: {{source: "file://{self._weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: {read_host().memory * 3 // 5}, cpus: 1}}
    {residency}
"""
            for name, port in self.ports.items()
        )
        rollout = "{min_healthy: 500ms, deadline: 60s}"
        self.stack.write_text(
            f"api_version: genesis.stack/v1\nname: groups\n"
            f"defaults: {{reserve: 64MiB, rollout: {rollout}}}\nmodels:{models}"
        )

    def states(self) -> dict[str, str]:
        """What `status` says of each model."""
        data: dict[str, Any] = json.loads(expect(self.cli("status", "--json"), ExitCode.OK))
        assert data["healthy"]
        return {model["model"]: model["health"] for model in data["models"]}


@pytest.fixture
def here(smollm2: Path) -> Iterator[Here]:
    """A fresh tree, with a path short enough for unix sockets, emptied at the end."""
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        here = Here(Path(folder), smollm2)
        try:
            yield here
        finally:
            here.cli("destroy", "--yes")


def test_more_models_than_fit_at_once_serve_in_turns(here: Here) -> None:
    """Refused as they are; applied as a group, healthy, and each answers when it is asked."""
    here.write("keep_loaded: 10m")
    assert here.cli("validate", str(here.stack)).returncode != ExitCode.OK
    here.write("keep_loaded: 10m\n    group: large")
    expect(here.cli("apply", str(here.stack)), ExitCode.OK)
    assert sorted(here.states().values()) == ["ready", "unloaded"]
    for asked in ("one", "other", "one"):
        answer = here.cli("chat", asked, "--message", "Say hello.", "--max-tokens", "4", "--json")
        assert json.loads(expect(answer, ExitCode.OK))["usage"]["completion_tokens"] > 0
        assert here.states() == {name: "ready" if name == asked else "unloaded" for name in here.ports}
    expect(here.cli("plan", str(here.stack), "--exit-code"), ExitCode.OK)
