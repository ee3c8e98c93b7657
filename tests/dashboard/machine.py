"""A real stack on the embedded backend, its dashboard as a process, and requests to its models."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import free_port
from program import GENESIS_STACK, embedded
from small_model import DIGEST


@dataclass
class Machine:
    """Models by name on ports of their own, all SmolLM2; `parts` are further parts of the stack."""

    root: Path
    weights: Path
    models: tuple[str, ...] = ("smol", "other")
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    def __post_init__(self) -> None:
        self.ports = {model: free_port() for model in self.models}

    def cli(self, *words: str) -> str:
        """What `genesis-stack` prints."""
        done = embedded(self.root, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self) -> None:
        """Serve the models."""
        models = {
            name: {
                "description": "SmolLM2 135M Instruct",
                "port": port,
                "weights": {"source": f"file://{self.weights}", "sha256": DIGEST},
                "engine": {"context": 1024, "parallel": 2},
                "budget": {"memory": "768MiB", "cpus": 1},
                "slo": {"ttft_p95": "2s", "latency_p95": "10s"},
            }
            for name, port in self.ports.items()
        }
        stack = {
            "api_version": "genesis.stack/v1",
            "name": "demo",
            "defaults": {"reserve": "64MiB", "rollout": {"min_healthy": "200ms", "deadline": "60s"}},
            "models": models,
            **self.parts,
        }
        path = self.root / "stack.yaml"
        path.write_text(json.dumps(stack))
        self.cli("apply", str(path))

    def lock(self) -> None:
        """From now on, only one client is let in."""
        self.parts["clients"] = {"app": {"models": list(self.models)}}
        self.apply()
        self.key = self.cli("clients", "add", "app").strip()

    def ask(self, model: str, question: str, tokens: int = 24) -> None:
        """One streamed answer, read to its end."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": tokens,
            "stream": True,
        }
        url = f"http://127.0.0.1:{self.ports[model]}/v1/chat/completions"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def metrics(self, model: str) -> str:
        """The server's own figures."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[model]}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def kill_for_good(self, model: str) -> None:
        """End a server with SIGKILL, and first the arbiter that would bring it back."""
        pids = {one["model"]: int(one["pid"]) for one in self.status()["models"]}
        os.kill(int((self.root / "run/genesis-stack/circus.pid").read_text()), signal.SIGKILL)
        os.kill(pids[model], signal.SIGKILL)

    def status(self) -> dict[str, Any]:
        """What `status` says."""
        found: dict[str, Any] = json.loads(self.cli("status", "--json"))
        return found

    @contextmanager
    def dashboard(self, *options: str) -> Iterator[str]:
        """The verb as a process; its URL."""
        where = ["--root", self.root, "--backend", "embedded"]
        argv = [GENESIS_STACK, "dashboard", "--port", "0", *options, *where]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                said = process.stderr.readline()
                found = re.match(r"http://127\.0\.0\.1:\d+", said)
                assert found, said
                yield found[0]
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=20)
        assert process.returncode == 0


@contextmanager
def machine(weights: Path, models: tuple[str, ...] = ("smol", "other")) -> Iterator[Machine]:
    """Models that serve, below a path short enough for unix sockets; nothing is left running."""
    with ExitStack() as cleanup:
        folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gs-"))
        made = Machine(Path(folder), weights, models)
        cleanup.callback(made.cli, "down")
        made.apply()
        yield made
