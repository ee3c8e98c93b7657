"""A real `genesis-serve` with SmolLM2, rendered from a stack that declares a client of each kind."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from ports import free_port

from genesis_stack import durable
from genesis_stack.layout import Layout
from genesis_stack.protocol.access import CLIENTS_FILE, KEYS_FILE, ONLY_SLOT, IssuedKey, Keys
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render.access import access_directory, clients
from genesis_stack.render.files import ResolvedModel
from genesis_stack.render.serve import serve_config
from genesis_stack.spec.load import load

MODEL = "smollm2-135m"

STACK = """
api_version: genesis.stack/v1
name: live
models:
  {model}:
    port: {port}
    tags: [small]
    {files}
    engine: {{context: 1024, parallel: 4}}
    budget: {{memory: 1GiB, cpus: 2}}
clients:
  bearer: {{models: [{model}], requests_per_minute: 100000, tokens_per_minute: 100000000}}
  signer:
    models: [{model}]
    requests_per_minute: 100000
    tokens_per_minute: 100000000
    require_signature: true
    keys: {{first: {{secret: signer-first}}}}
  hurried: {{models: [{model}], requests_per_minute: 1}}
"""


def _reference(path: Path) -> FileRef:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FileRef(path=str(path.resolve()), sha256=digest, size=path.stat().st_size)


def _declared(file: FileRef) -> str:
    return f'{{source: "file://{file.path}", sha256: {file.sha256}}}'


@dataclass
class LiveServer:
    """A server that can be killed and started again on the same port."""

    root: Path
    weights: Path
    projector: Path | None = None
    model: str = MODEL
    port: int = field(default_factory=free_port)
    keys: dict[str, ClientKey] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stack(self) -> Path:
        """The stack file."""
        return self.root / "stack.yaml"

    @property
    def key(self) -> str:
        """The Bearer key of the client that may do much."""
        return self.keys["bearer"].text

    def prepare(self) -> None:
        """Write what `apply` and `clients add` would have written."""
        self.root.mkdir(parents=True, exist_ok=True)
        weights = _reference(self.weights)
        projector = None if self.projector is None else _reference(self.projector)
        files = f"weights: {_declared(weights)}"
        if projector is not None:
            files += f"\n    task: vision\n    projector: {_declared(projector)}"
        self.stack.write_text(STACK.format(model=self.model, port=self.port, files=files))
        stack, layout = load(self.stack), Layout.under(self.root)
        self.keys = {name: ClientKey.generate() for name in stack.clients}
        access = Path(access_directory(layout))
        access.mkdir(parents=True, exist_ok=True)
        durable.write(access / CLIENTS_FILE, clients(stack).model_dump_json())
        issued = tuple(self._issued(name, key) for name, key in self.keys.items())
        durable.write(access / KEYS_FILE, Keys(keys=issued).model_dump_json())
        Path(layout.secrets).mkdir(parents=True, exist_ok=True)
        durable.write(Path(layout.secrets) / "signer-first", self.keys["signer"].text + "\n", 0o600)
        config = serve_config(stack, self.model, ResolvedModel(weights, projector), layout)
        (self.root / "serve.json").write_text(config.model_dump_json())

    def _issued(self, name: str, key: ClientKey) -> IssuedKey:
        signs = name == "signer"
        return IssuedKey(
            id=key.id,
            client=name,
            slot="first" if signs else ONLY_SLOT,
            digest=None if signs else key.digest,
            created=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        )

    def start(self) -> None:
        """Start it; `until_ready` waits for it."""
        argv = [sys.executable, "-m", "genesis_stack.server.main", "--config", str(self.root / "serve.json")]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ})

    def until_ready(self, seconds: float = 60) -> None:
        """Wait until it answers requests."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, (self.root / "log").read_text()[-2000:]
            assert self.process is None or self.process.poll() is None, (self.root / "log").read_text()[
                -2000:
            ]
            time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
