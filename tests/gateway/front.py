"""A real HAProxy with the rendered configuration, in front of servers on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from waiting import eventually

from gateway.paced import Paced
from genesis_stack.backends.gateway import search_path
from genesis_stack.process import run
from genesis_stack.render.gateway.haproxy import haproxy_config
from genesis_stack.spec.effective import on_host
from genesis_stack.spec.hosts import Host, Override
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack

DIGEST: Final = "0" * 64
PATIENCE: Final = 60.0
"""Seconds until what should happen counts as not happening."""


@dataclass
class Front:
    """A running gateway."""

    config: Path
    port: int
    metrics_port: int
    process: asyncio.subprocess.Process
    http: httpx.AsyncClient

    async def chat(self, model: str, **more: Any) -> httpx.Response:
        """POST a chat for a model; `headers` and all else but the messages go into it."""
        headers = more.pop("headers", {})
        body = {"messages": [{"role": "user", "content": "Hello."}], "model": model, **more}
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def server_of(self, model: str, **more: Any) -> str:
        """The name of the server that answers."""
        answer = await self.chat(model, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["server"])

    async def status(self, server: str, model: str = "a") -> str:
        """What HAProxy says of a server: UP, DOWN, and others."""
        answer = await self.http.get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        mark = f'haproxy_server_status{{proxy="model.{model}",server="{server}",state="'
        lines = (line for line in answer.text.splitlines() if line.startswith(mark) and line.endswith(" 1"))
        return next(lines, "").removeprefix(mark).partition('"')[0]

    async def until(self, server: str, status: str, model: str = "a") -> None:
        """Wait until HAProxy says this of a server."""

        async def said() -> bool:
            return await self.status(server, model) == status

        await eventually(said, seconds=PATIENCE, pause=0.05)

    def reload(self, content: str) -> None:
        """Write another configuration and let HAProxy take it up, as ExecReload= does."""
        self.config.write_text(content)
        self.process.send_signal(signal.SIGUSR2)


def reserved() -> socket.socket:
    """A socket that keeps a free port of this machine for HAProxy, which binds it a second time."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


def placed(models: Mapping[str, Mapping[str, int]], port: int, metrics_port: int, **more: Any) -> Stack:
    """A stack whose models run on these hosts at these ports, all of them on this machine, seen from one.

    `more` goes into `gateway`, `clients` and `http`, and as `model` into every model.
    """
    gateway = {"port": port, "metrics_port": metrics_port, **more.get("gateway", {})}
    entry: dict[str, Any] = {
        "weights": {"source": "hf://o/m/m.gguf", "sha256": DIGEST},
        "budget": {"memory": "1GiB", "cpus": 1},
        **more.get("model", {}),
    }
    content: dict[str, Any] = {
        "api_version": "genesis.stack/v1",
        "name": "test",
        "models": {name: {"port": 8000 + index, **entry} for index, name in enumerate(models)},
        "gateway": gateway,
        **{key: more[key] for key in ("clients", "http", "monitoring") if key in more},
    }
    hosts: dict[str, dict[str, Override]] = {}
    for model, ports in models.items():
        for host, of_server in ports.items():
            hosts.setdefault(host, {})[model] = Override(port=of_server)
    declared = {name: Host(models=tuple(own), overrides=own) for name, own in hosts.items()}
    whole = loads(json.dumps(content)).model_copy(update={"hosts": declared})
    return on_host(whole, next(iter(hosts)))


@asynccontextmanager
async def in_front_of(
    folder: Path, models: Mapping[str, Mapping[str, Paced]], **more: Any
) -> AsyncGenerator[Front]:
    """A gateway before these servers, by model and host, which HAProxy has seen to be ready, or `awaited`."""
    ports = {model: {host: one.port for host, one in found.items()} for model, found in models.items()}
    async with AsyncExitStack() as stack:
        held = [stack.enter_context(reserved()) for _ in range(2)]
        port, metrics_port = (one.getsockname()[1] for one in held)
        about = placed(ports, port, metrics_port, **more)
        front = await stack.enter_async_context(started(folder, about, port, metrics_port, **more))
        for model, found in models.items():
            for host in found:
                await front.until(host, more.get("awaited", "UP"), model)
        yield front


@asynccontextmanager
async def started(
    folder: Path, about: Stack, port: int, metrics_port: int, **more: Any
) -> AsyncGenerator[Front]:
    """HAProxy with the configuration of a stack; `environment` is added to its own."""
    config = folder / "haproxy.cfg"
    config.write_text(haproxy_config(about, "For a test."))
    program = shutil.which("haproxy", path=search_path())
    assert program is not None, "needs haproxy (Debian: apt install haproxy)"
    environment = {**os.environ, **more.get("environment", {})}
    checked = run([program, "-c", "-f", config], check=False, env=environment)
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, said
    assert "WARNING" not in said, said
    with (folder / "haproxy.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            program, "-W", "-f", str(config), stdout=log, stderr=log, env=environment
        )
    try:
        scheme = more.get("scheme", "http")
        async with httpx.AsyncClient(
            base_url=f"{scheme}://127.0.0.1:{port}",
            timeout=PATIENCE,
            trust_env=False,
            verify=more.get("verify", True),
            limits=httpx.Limits(max_connections=None),
        ) as http:
            front = Front(config, port, metrics_port, process, http)
            await _until_it_answers(front)
            yield front
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _until_it_answers(front: Front) -> None:
    async def answers() -> bool:
        try:
            return (await front.http.get(f"http://127.0.0.1:{front.metrics_port}/metrics")).is_success
        except httpx.TransportError:
            return False

    await eventually(answers, seconds=PATIENCE, pause=0.05)


async def one_by_one(
    front: Front, servers: Sequence[Paced], requests: int, **about: object
) -> list[asyncio.Task[httpx.Response]]:
    """Ask so often, each time once a server has the one before: HAProxy counts with two threads."""
    asking = []
    for number in range(1, requests + 1):
        asking.append(asyncio.create_task(front.chat("a", **about)))
        await holding(servers, number)
    return asking


async def holding(servers: Sequence[Paced], requests: int) -> None:
    """Wait until these servers together work on so many requests."""
    await eventually(lambda: sum(server.running for server in servers) >= requests, seconds=PATIENCE)
