"""Servers of one engine with security and observability off, as usual, and all on."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.overhead.caller import SPANS_LEAVE_MS, Caller, Side
from benchmarks.serving.peers import Launch, Peer, Setup, serve_config
from benchmarks.serving.running import serving
from genesis_stack.protocol.access import (
    CLIENTS_FILE,
    KEYS_FILE,
    ClientPolicy,
    Clients,
    IssuedKey,
    Keys,
    KeySlot,
)
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.serve_config import AccessConfig, AuditConfig, TracingConfig

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def three_sides(gguf: Path | None, scratch: Path) -> Iterator[dict[Side, Caller]]:
    """One server for each side, warmed up; without a model file its engine answers at once."""
    threads = os.cpu_count() or 1
    file = gguf or scratch / "none.gguf"
    if gguf is None:
        file.write_bytes(b"no weights")
    setup = Setup(file, threads=threads, context=2048, slots=2)
    key = ClientKey.generate()
    callers: dict[Side, Caller] = {}
    with ExitStack() as servers:
        for side in Side:
            server = servers.enter_context(serving(_peer(side, key, instant=gguf is None), setup, scratch))
            callers[side] = Caller(server, side, key, engine_threads=0 if gguf is None else threads)
            callers[side].warm_up()
        yield callers


def _peer(side: Side, key: ClientKey, *, instant: bool) -> Peer:
    def launch(setup: Setup, port: int, scratch: Path) -> Launch:
        folder = scratch / side
        folder.mkdir()
        config = serve_config(setup, port, {})
        update = config.model_dump() | _switched(side, config.model_dump(), folder, key)
        file = folder / "genesis-serve.json"
        file.write_text(config.model_validate(update).model_dump_json())
        program = "benchmarks.overhead.instant" if instant else "genesis_stack.server.main"
        path = os.pathsep.join(map(str, (ROOT, ROOT / "tests/server")))
        environment = {"PYTHONPATH": path, "OTEL_BSP_SCHEDULE_DELAY": str(SPANS_LEAVE_MS)}
        return Launch((sys.executable, "-m", program, "--config", file), "/health", environment)

    return Peer(side, launch, has_slots_route=True)


def _switched(side: Side, config: dict[str, Any], folder: Path, key: ClientKey) -> dict[str, Any]:
    """The sections of a side's config that differ."""
    if side is Side.OFF:
        return {
            "guard": config["guard"] | {"policy": "off"},
            "logs": config["logs"] | {"level": "error"},
        }
    _write_access(side, folder, key)
    spans = TracingConfig(
        exporter="file",
        endpoint=None,
        headers_secret=None,
        file=str(folder / "spans.jsonl"),
        sample=1.0,
        content=False,
    )
    return {
        "access": AccessConfig(directory=str(folder)).model_dump(),
        "secrets": str(folder),
        "audit": AuditConfig(sink="file", directory=str(folder)).model_dump(),
        "tracing": spans.model_dump() if side is Side.ALL else None,
    }


def _write_access(side: Side, folder: Path, key: ClientKey) -> None:
    """One client, whose limits are far away."""
    signs = side is Side.ALL
    policy = ClientPolicy(
        models=("benchmark",),
        requests_per_minute=1_000_000,
        tokens_per_minute=1_000_000_000,
        concurrent=100,
        require_signature=signs,
        guard="flag",
        slots={"main": KeySlot(expires=None, secret="signing" if signs else None)},
    )
    digest = None if signs else key.digest
    now = dt.datetime.now(dt.UTC)
    issued = IssuedKey(id=key.id, client="caller", slot="main", digest=digest, created=now)
    (folder / CLIENTS_FILE).write_text(Clients(clients={"caller": policy}).model_dump_json())
    (folder / KEYS_FILE).write_text(Keys(keys=(issued,)).model_dump_json())
    if signs:
        (folder / "signing").write_text(key.text)
