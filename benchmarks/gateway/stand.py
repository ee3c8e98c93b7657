"""Stand-in servers as processes of their own, and the real HAProxy with a rendered configuration before them.

Both come from the tests: `tests` must be on the path of this process and of those that it starts.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from gateway.front import placed, reserved, started

TESTS: Final = Path(__file__).parents[2] / "tests"
MODEL: Final = "a"


@asynccontextmanager
async def paced(name: str, slots: int, pace: float) -> AsyncGenerator[int]:
    """A server whose every slot emits a token each `pace` seconds; gives its port."""
    argv = ("-m", "gateway.paced", name, str(slots), str(pace))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        yield int(await process.stdout.readline()) if process.stdout else 0
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def hosts(
    count: int, slots: int, pace: float, **settings: Any
) -> AsyncGenerator[tuple[int, list[int]]]:
    """So many hosts with a server each; gives the gateway's port and theirs."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
        names = [f"host-{number}" for number in range(count)]
        ports = [await stack.enter_async_context(paced(name, slots, pace)) for name in names]
        held = [stack.enter_context(reserved()) for _ in range(2)]
        port, metrics_port = (one.getsockname()[1] for one in held)
        where = {MODEL: dict(zip(names, ports, strict=True))}
        model = {"engine": {"parallel": slots}}
        about = placed(where, port, metrics_port, model=model, **settings)
        front = await stack.enter_async_context(started(folder, about, port, metrics_port))
        for name in names:
            await front.until(name, "UP")
        yield port, ports
