"""A stack with load profiles, applied to this machine below a directory of the test's own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from program import GENESIS_STACK
from small_model import DIGEST

from genesis_stack.process import Completed, run

LOOSE = "{ttft_p95: 60s, latency_p95: 90s, tokens_per_second: 0.1, error_rate: 0%}"

STACK = """
api_version: genesis.stack/v1
name: loaded
defaults:
  reserve: 64MiB
  rollout: {{min_healthy: 200ms, deadline: 90s}}
models:
  {model}:
    description: {description}
    port: {port}
    weights: {{source: "file://{weights}", sha256: {digest}}}
    engine: {{context: 512, parallel: 4}}
    budget: {{memory: 1GiB, cpus: 2}}
    slo: {slo}
load:
  smoke:
    {{users: 12, duration: {duration}, warm_up: 0s, spawn_rate: 20/s, think_time: 20ms, max_tokens: 8,
      least_requests: 5, tasks: {{stream: 3, chat: 1}}}}
"""


@dataclass
class Loaded:
    """This machine."""

    root: Path
    port: int
    weights: str = "/nowhere"
    model: str = "smol"
    slo: str = LOOSE
    description: str = "first"
    duration: str = "1s"

    @property
    def stack(self) -> Path:
        """The stack file."""
        return self.root / "stack.yaml"

    @property
    def record(self) -> Path:
        """The stored run of the last report."""
        return self.root / "report.json"

    def write(self, **changed: str) -> None:
        """Save the stack, with some of it changed."""
        for name, value in changed.items():
            setattr(self, name, value)
        fields = {name: getattr(self, name) for name in ("model", "description", "port", "weights", "slo")}
        self.stack.write_text(STACK.format(**fields, duration=self.duration, digest=DIGEST))

    def apply(self, *words: str) -> Completed:
        """`genesis-stack apply`."""
        return self.cli("apply", str(self.stack), *words, *self._here)

    def status(self) -> dict[str, Any]:
        """`genesis-stack status --json`."""
        done = self.cli("status", "--json", *self._here)
        assert done.stdout, done.stderr
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    def down(self) -> None:
        """Stop everything."""
        self.cli("down", *self._here)

    def load_words(self) -> list[str]:
        """A load test, as words."""
        report = self.root / "report.html"
        return ["load", str(self.stack), "--json", f"--report={report}"]

    def load(self, *words: str) -> tuple[Completed, dict[str, Any]]:
        """`genesis-stack load`, and the data that it printed."""
        done = self.cli(*self.load_words(), *words)
        return done, json.loads(done.stdout)

    def begin_load(self) -> subprocess.Popen[str]:
        """A load test that goes on meanwhile."""
        return subprocess.Popen([GENESIS_STACK, *self.load_words()], stdout=subprocess.PIPE, text=True)

    @property
    def _here(self) -> list[str]:
        return ["--root", str(self.root), "--backend", "embedded"]

    @staticmethod
    def cli(*words: str) -> Completed:
        """Run the installed program."""
        return run([GENESIS_STACK, *words], check=False, timeout=170)


def check(data: dict[str, Any], promise: str) -> dict[str, Any]:
    """One check of a verdict."""
    (found,) = [one for one in data["checks"] if one["promise"] == promise]
    return dict(found)
