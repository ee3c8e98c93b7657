"""A host below a temporary directory, stacks to apply to it, and what must hold whatever happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.generations import Generations
from genesis_stack.reconcile.state import read_journal, read_state
from genesis_stack.spec.model import Stack
from reconcile.fake_backend import FakeBackend

WEIGHTS = b"GGUF, or so it says"
DIGEST = sha256(WEIGHTS).hexdigest()
SECRET = "sk-this-must-never-be-on-disk"

Models = Mapping[str, str]
"""Model → description; the description is all that differs between configs."""


@dataclass
class World:
    """One host."""

    root: Path
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layout = Layout.under(self.root)
        self.stranger = self.layout.config / "models" / "stranger.txt"
        self.stranger.parent.mkdir(parents=True)
        self.stranger.write_text("not ours")
        self.fetch()

    @property
    def host(self) -> Host:
        """As a new run of the tool sees it."""
        return Host(self.layout, FakeBackend(self.layout), self.told.append)

    def fetch(self, _: object = None) -> None:
        """Put the one model file into the store."""
        store = Store(self.layout.models)
        with store.writing("a test"):
            store.part(DIGEST).write_bytes(WEIGHTS)
            store.admit(store.part(DIGEST), DIGEST, len(WEIGHTS), "a test")

    def apply(self, models: Models) -> bool:
        """Apply a stack of these models; whether there was anything to do."""
        return not self.host.apply(stack_of(models), source_of(models), self.fetch).empty

    def serving(self) -> dict[str, str]:
        """Model → description that its server was started with."""
        running = FakeBackend(self.layout).running()
        return {model: json.loads(content)["description"] for model, content in running.items()}

    def on_disk(self) -> dict[str, str]:
        """Model → description in its config on disk."""
        configs = (self.layout.config / "models").glob("*.json")
        return {path.stem: json.loads(path.read_text())["description"] for path in configs}

    def check_always(self) -> None:
        """What holds after any interruption, at any moment."""
        generations = Generations(self.layout)
        read_state(self.layout)
        read_journal(self.layout)
        current = generations.current()
        if current is not None:
            assert generations.load(current).name == "world"
        for number in generations.numbers():
            generations.load(number)
        self.on_disk()
        assert self.stranger.read_text() == "not ours"
        assert Store(self.layout.models).path(DIGEST).read_bytes() == WEIGHTS

    def check_settled(self, models: Models) -> None:
        """What holds after a run that came to its end, with these models in force."""
        self.check_always()
        assert read_journal(self.layout) is None
        assert self.serving() == dict(models)
        assert self.on_disk() == dict(models)


def stack_of(models: Models) -> Stack:
    """A stack of models with these descriptions."""
    return Stack.model_validate(
        {
            "api_version": "genesis.stack/v1",
            "name": "world",
            "defaults": {"rollout": {"min_healthy": 0, "deadline": "5s"}},
            "models": {
                name: {
                    "port": 18900 + index,
                    "description": description,
                    "weights": {"source": "file:///gone", "sha256": DIGEST, "size": len(WEIGHTS)},
                    "budget": {"memory": "1MiB", "cpus": 1},
                }
                for index, (name, description) in enumerate(sorted(models.items()))
            },
        }
    )


def source_of(models: Models) -> str:
    """What stands for the text of its file."""
    return json.dumps(dict(models))
