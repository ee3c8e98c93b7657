"""A `genesis-serve` of the model for the time of a measurement, on loopback."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any, Final

from genesis_stack import process
from genesis_stack.capacity.subject import Subject
from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render.files import ResolvedModel
from genesis_stack.render.serve import serve_config
from genesis_stack.spec.load import load
from genesis_stack.spec.model import EngineSettings

LOOPBACK: Final = "127.0.0.1"
START_SECONDS: Final = 600.0
DRAIN_SECONDS: Final = 2
STOP_SECONDS: Final = 30.0
_NO_DIGEST: Final = "0" * 64  # nobody asks for it: the file was verified, or made for the occasion


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack of one model, for this measurement alone: its file, which load tests read as well."""

    subject: Subject
    engine: EngineSettings
    port: int
    folder: Path

    @property
    def file(self) -> Path:
        """The stack file."""
        return self.folder / "stack.json"

    def write(self, profile: dict[str, Any]) -> None:
        """Write the stack with this load profile; JSON is YAML."""
        model = self.subject.model
        served = {
            "port": self.port,
            "listen": LOOPBACK,
            "weights": {"source": "file:///measured", "sha256": _NO_DIGEST},
            "engine": self.engine.model_dump(mode="json"),
            "budget": model.budget.model_dump(mode="json"),
            "limits": {"drain_timeout": DRAIN_SECONDS},
            "slo": model.slo.model_dump(mode="json", exclude_none=True),
        }
        stack = {
            "api_version": "genesis.stack/v1",
            "name": "bench",
            "models": {self.subject.name: served},
            "monitoring": {"logs": {"audit": "off"}},
            "load": {"bench": profile},
        }
        self.file.write_text(json.dumps(stack, indent=1), encoding="utf-8")

    def server_config(self) -> Path:
        """What the server is started with: rendered from the stack, as apply would."""
        name, path = self.subject.name, self.folder / "serve.json"
        file = FileRef(path=str(self.subject.path), sha256=_NO_DIGEST, size=self.subject.path.stat().st_size)
        layout = Layout.under(self.folder.absolute())
        config = serve_config(load(self.file), name, ResolvedModel(file), layout)
        path.write_text(config.model_dump_json(indent=1), encoding="utf-8")
        return path


@contextmanager
def serving(subject: Subject, engine: EngineSettings, folder: Path) -> Iterator[Bench]:
    """A server that is ready; what it logs stays below `folder`.

    Raises:
        GenesisError: it did not become ready; the message ends with what it said last.
    """
    with socket.create_server((LOOPBACK, 0)) as listener:
        bench = Bench(subject, engine, int(listener.getsockname()[1]), folder)
        bench.write({"users": 1})
        program = Path(sys.prefix) / "bin/genesis-serve"
        log = folder / "server.log"
        argv: list[str | Path] = [program, "--config", bench.server_config(), "--fd", str(listener.fileno())]
        running = process.detach(argv, log=log, pass_fds=(listener.fileno(),))
    try:
        _await_ready(bench, running, log)
        yield bench
    finally:
        _stop(running)


def _await_ready(bench: Bench, running: Popen[bytes], log: Path) -> None:
    import httpx

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        try:
            if httpx.get(f"http://{LOOPBACK}:{bench.port}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
    raise GenesisError("the server did not become ready\n  " + "\n  ".join(tail))


def _stop(running: Popen[bytes]) -> None:
    """End it in any case, also when we are told to hurry."""
    running.terminate()
    try:
        with suppress(TimeoutExpired):
            running.wait(STOP_SECONDS)
    finally:
        running.kill()
        running.wait()
