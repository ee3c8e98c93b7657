"""Fixtures of the client's tests."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from client.fault_proxy import FaultProxy, fault_proxy
from client.live_server import LiveServer


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says nothing unless a test does."""
    for name in list(os.environ):
        if name.startswith("GENESIS_LLM_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def live(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """A real server with the real small model."""
    server = LiveServer(tmp_path_factory.mktemp("live"), smollm2)
    server.prepare()
    server.start()
    server.until_ready()
    yield server
    server.kill()


@pytest.fixture
async def proxy(live: LiveServer) -> AsyncGenerator[FaultProxy]:
    """A proxy in front of the real server, which lets everything pass at first."""
    async with fault_proxy(live.port) as proxy:
        yield proxy


@pytest.fixture
async def nothing_leaks() -> AsyncGenerator[None]:
    """No task and no socket is left by the test."""
    gc.collect()
    tasks, before = asyncio.all_tasks(), sockets()
    yield
    async with asyncio.timeout(5):
        while asyncio.all_tasks() > tasks or sockets() > before:
            gc.collect()
            await asyncio.sleep(0.02)


def sockets() -> int:
    """Open sockets of this process."""
    directory = Path("/proc/self/fd")
    return sum(_is_socket(entry) for entry in directory.iterdir())


def _is_socket(entry: Path) -> bool:
    try:
        return os.readlink(entry).startswith("socket:")  # noqa: PTH115 -- what it names is no path
    except FileNotFoundError:
        return False
