"""Servers of one model with security and observability off, as usual, and all on; and calls to them."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.peers import Launch, Peer, Setup, ours, serve_config
from benchmarks.serving.running import Server, serving
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
from genesis_stack.protocol.signing import CLOCK_SKEW, Head, sign

PATH: Final = "/v1/completions"
PROMPT: Final = (
    "The harbour master keeps a log of every ship that comes in, with its flag, its cargo and the hour of"
    " its arrival. On a day in late autumn the wind turned to the north and three of them had to wait. "
) * 3
"""As long as a usual chat with its system prompt, so that the guard has something to read."""


class Side(StrEnum):
    """What a server has switched on."""

    OFF = "off"  # nobody is asked for a key, nothing is written
    USUAL = "usual"  # a Bearer key, limits, the guard, the audit record, a log line
    ALL = "all"  # the same with a signature instead of the key, and with spans


@dataclass(frozen=True)
class Call:
    """One answered request: seconds on the wall, and of the CPU outside of the engine."""

    wall: float
    cpu: float


class Caller:
    """Calls one server as its side wants it; requests are signed before the clock runs."""

    def __init__(self, server: Server, side: Side, key: ClientKey, engine_threads: int) -> None:
        self._server = server
        self._side = side
        self._key = key
        self._engine_threads = engine_threads
        self._engine: frozenset[str] = frozenset()

    def warm_up(self) -> None:
        """Fill the prefix cache, wait until signatures are believed, and tell the engine's threads apart.

        They are those that have used the most CPU: everything else is the server's.
        """
        end = time.monotonic() + CLOCK_SKEW + 30
        while (status := self._request(1)) != http.client.OK:
            if time.monotonic() > end:
                raise RuntimeError(f"the server answers {status}")
            time.sleep(0.5)
        self._request(8)
        used = self._threads()
        busiest = sorted(used, key=lambda thread: used[thread], reverse=True)
        self._engine = frozenset(busiest[: self._engine_threads])

    def call(self, tokens: int) -> Call:
        """One streamed completion of exactly so many tokens."""
        fields, body = self._prepared(tokens)
        before, start = self._own_cpu(), time.perf_counter()
        status = self._send(fields, body)
        wall = time.perf_counter() - start
        if status != http.client.OK:
            raise RuntimeError(f"the server answers {status}")
        time.sleep(0.02)  # what it does after its answer counts too
        return Call(wall, self._own_cpu() - before)

    def _request(self, tokens: int) -> int:
        return self._send(*self._prepared(tokens))

    def _prepared(self, tokens: int) -> tuple[dict[str, str], bytes]:
        body = json.dumps(
            {
                "model": "benchmark",
                "prompt": PROMPT,
                "max_tokens": tokens,
                "ignore_eos": True,
                "temperature": 0,
                "stream": True,
            }
        ).encode()
        fields = {"Content-Type": "application/json"}
        if self._side is Side.USUAL:
            fields["Authorization"] = f"Bearer {self._key.text}"
        elif self._side is Side.ALL:
            head = Head("POST", f"127.0.0.1:{self._server.port}".encode(), PATH.encode())
            fields |= sign(head, body, key_id=self._key.id, secret=self._key.signing_secret)
        return fields, body

    def _send(self, fields: dict[str, str], body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=300)
        try:
            connection.request("POST", PATH, body, fields)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _own_cpu(self) -> float:
        threads = self._threads()
        return sum(seconds for thread, seconds in threads.items() if thread not in self._engine)

    def _threads(self) -> dict[str, float]:
        """CPU seconds of each thread, from /proc/PID/task/TID/schedstat, which counts nanoseconds."""
        tasks = Path("/proc", str(self._server.pid), "task")
        return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks.iterdir()}


@contextmanager
def three_sides(setup: Setup, scratch: Path) -> Iterator[dict[Side, Caller]]:
    """One server for each side, warmed up."""
    key = ClientKey.generate()
    callers: dict[Side, Caller] = {}
    with ExitStack() as servers:
        for side in Side:
            server = servers.enter_context(serving(_peer(side, key), setup, scratch))
            callers[side] = Caller(server, side, key, setup.threads)
            callers[side].warm_up()
        yield callers


def _peer(side: Side, key: ClientKey) -> Peer:
    def launch(setup: Setup, port: int, scratch: Path) -> Launch:
        folder = scratch / side
        folder.mkdir()
        started = ours({}).launch(setup, port, folder)
        config = serve_config(setup, port, {})
        update = config.model_dump() | _switched(side, config.model_dump(), folder, key)
        (folder / "genesis-serve.json").write_text(config.model_validate(update).model_dump_json())
        return started

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
