"""A bare repository with authors who sign, and a host whose agent follows it; git and SSH keys are real."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconcile.fake_backend import FakeBackend
from reconcile.world import DIGEST, WEIGHTS, World

from genesis_stack.errors import GenesisError
from genesis_stack.gitops.agent import Agent
from genesis_stack.gitops.attempt import Means, Report
from genesis_stack.gitops.record import Files, Record, read_record
from genesis_stack.modelstore.here import host_here
from genesis_stack.modelstore.host import read_host
from genesis_stack.process import run
from genesis_stack.reconcile.apply import Host
from genesis_stack.spec.effective import on_host
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack

BRANCH: Final = "main"
NOW: Final = 1_800_000_000.0


def stack_text(models: Mapping[str, str], gitops: Mapping[str, Any], **more: Any) -> str:
    """A stack.yaml with these models, described so; JSON is YAML."""
    ports = {name: 18900 + "abcdefgh".index(name[0]) for name in models}
    return json.dumps(
        {
            "api_version": "genesis.stack/v1",
            "name": "world",
            "defaults": {"rollout": {"min_healthy": "0s", "deadline": "5s"}},
            "models": {
                name: {
                    "port": ports[name],
                    "description": description,
                    "weights": {"source": "file:///gone", "sha256": DIGEST, "size": f"{len(WEIGHTS)}B"},
                    "budget": {"memory": "1MiB", "cpus": 1},
                }
                for name, description in models.items()
            },
            "gitops": dict(gitops),
            **more,
        },
        indent=1,
    )


@dataclass
class Followed:
    """One repository and one host; `gitops` is what every stack says of the repository."""

    root: Path
    gitops: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    backend: Callable[..., FakeBackend] = FakeBackend

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.world = World(self.root / "host")
        self.layout = self.world.layout
        self.remote, self.work = self.root / "remote.git", self.root / "work"
        self.gitops = {"repository": f"file://{self.remote}", "branch": BRANCH, **self.gitops}
        self._git("init", "-q", "--template=", "--bare", "-b", BRANCH, self.remote)
        self._git("init", "-q", "--template=", "-b", BRANCH, self.work)
        for who in ("ops", "stranger"):
            key = self.root / who
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", key])
        self.allow("ops")

    def allow(self, *who: str) -> None:
        """Let these sign on this host, and nobody else."""
        keys = {name: (self.root / f"{name}.pub").read_text().strip() for name in who}
        lines = [f"{name}@example.org {key}\n" for name, key in keys.items()]
        (self.layout.config / "allowed_signers").write_text("".join(lines))

    def _git(self, *words: object, text: str | None = None, **env: str) -> str:
        alone = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": str(self.root)}
        return run(
            ["git", *map(str, words)], input_text=text, env={**os.environ, **alone, **env}
        ).stdout.strip()

    def git(self, *words: object, signer: str | None = "ops", text: str | None = None) -> str:
        """Run git as an author, who signs with SSH unless nobody does."""
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={self.root / str(signer)}"]
        sign = [*signing, "-c", f"commit.gpgSign={'true' if signer else 'false'}"]
        identity = ["-c", "user.name=Ops", "-c", "user.email=ops@example.org"]
        return self._git("-C", self.work, *identity, *sign, *words, text=text)

    def commit(self, models: Mapping[str, str], *, signer: str | None = "ops", push: bool = True) -> str:
        """Commit a stack of these models to the branch; returns the revision."""
        return self.commit_text(stack_text(models, self.gitops, **self.more), signer=signer, push=push)

    def commit_text(self, text: str, *, signer: str | None = "ops", push: bool = True) -> str:
        """Commit any text as the stack."""
        (self.work / "stack.yaml").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change", signer=signer)
        if push:
            self.push()
        return self.git("rev-parse", "HEAD")

    def push(self, *words: str) -> None:
        """Move the remote's branch to ours."""
        self.git("push", "-q", *words, self.remote, f"HEAD:refs/heads/{BRANCH}")

    @property
    def host(self) -> Host:
        """The host as a new run sees it."""
        return Host(self.layout, self.backend(self.layout), self.world.told.append)

    @property
    def agent(self) -> Agent:
        """Its agent as a new run makes it."""
        means = Means(read=self.read, fetch=lambda *_: self.world.fetch(), load_gate=self.load_gate)
        return Agent(self.host, means, reach_deadline=0.3, clock=lambda: NOW)

    def read(self, path: Path) -> tuple[Stack, str]:
        """This host's part of a stack file."""
        text = path.read_text()
        stack = loads(text)
        return on_host(stack, host_here(stack, read_host())), text

    def load_gate(self, path: Path, profile: str) -> Callable[[], None]:
        """A load test that no revision passes whose description is `slow`."""

        def prove() -> None:
            if '"slow"' in path.read_text():
                raise GenesisError(f"{profile}: a promise does not hold")

        return prove

    def by_hand(self, models: Mapping[str, str]) -> None:
        """What an operator does who begins: apply the stack of his clone."""
        text = stack_text(models, self.gitops, **self.more)
        stack = loads(text)
        self.host.apply(on_host(stack, host_here(stack, read_host())), text, self.world.fetch)

    def follow(self) -> Report:
        """One run of the agent."""
        return self.agent.run_once()

    @property
    def record(self) -> Record:
        """What the agent knows."""
        return read_record(self.layout)

    @property
    def files(self) -> Files:
        """Where it keeps that."""
        return Files.of(self.layout)

    def serving(self) -> dict[str, str]:
        """Model → the description that its server runs with."""
        return self.world.serving()


def host_that_follows(
    root: Path,
    gitops: dict[str, Any] | None = None,
    *,
    models: Mapping[str, str] | None = None,
    backend: Callable[..., FakeBackend] = FakeBackend,
    **more: Any,
) -> Followed:
    """A host that has followed its first revision."""
    first = {"a": "one"} if models is None else models
    followed = Followed(root, gitops or {}, more, backend)
    followed.commit(first)
    followed.by_hand(first)
    followed.follow()
    return followed
