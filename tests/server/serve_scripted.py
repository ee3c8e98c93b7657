"""`genesis-serve` with a scripted engine: the real program, its process and its sockets.

SCRIPTED says how the engine behaves: `slow` answers slowly, `floods` never stops to speak, `faulty` fails
amid each request, `broken` never starts, `late` starts when it is let go, `hangs` stops to beat, `dies` fails
after its start. Without it all is well. The engine starts once the file SCRIPTED_GATE exists.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from scripted_engine import ScriptedEngine, saying

from genesis_stack.engine.interface import Delta, EngineError, EngineInfo, EngineState, GenerationRequest
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.main import main

BEHAVIOUR = os.environ.get("SCRIPTED", "")
GATE = Path(os.environ.get("SCRIPTED_GATE", __file__))


async def _slowly(request: GenerationRequest) -> AsyncGenerator[Delta]:
    """One delta at once, the rest after half a second."""
    async for delta in saying("one ", "two")(request):
        yield delta
        await asyncio.sleep(0.5)


async def _flood(_request: GenerationRequest) -> AsyncGenerator[Delta]:
    """Megabytes a second, for ever."""
    while True:
        yield Delta(0, "x" * 10_000, tokens=(0,))
        await asyncio.sleep(0.001)


async def _fault(_request: GenerationRequest) -> AsyncGenerator[Delta]:
    """A fault of ours."""
    raise ZeroDivisionError("secret detail")
    yield  # type: ignore[unreachable]


class _LateEngine(ScriptedEngine):
    """One that loads until it is let go, as a thread inside llama.cpp does; then its model is freed."""

    def __init__(self) -> None:
        super().__init__()
        self._freed = asyncio.Event()

    async def start(self) -> None:
        """Be ready when it is too late."""
        await self._freed.wait()

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 -- as the engine has it
        """Take as long as a thread that is joined."""
        await super().drain(timeout)
        self._freed.set()
        await asyncio.sleep(0.1)

    @property
    def info(self) -> EngineInfo:
        """Nothing is there to be read any more."""
        os._exit(os.EX_SOFTWARE)


async def _engine(_config: ServeConfig) -> ScriptedEngine:
    engine = _LateEngine() if BEHAVIOUR == "late" else ScriptedEngine()
    while not GATE.exists():  # noqa: ASYNC110, ASYNC240 -- the gate is another process's file
        await asyncio.sleep(0.02)
    match BEHAVIOUR:
        case "slow":
            engine.script = _slowly
        case "floods":
            engine.script = _flood
        case "faulty":
            engine.script = _fault
        case "broken":
            engine.state = EngineState.STARTING
            engine.refusal = EngineError("no such tensor")
        case "hangs":
            engine.hangs = True
        case "dies":
            asyncio.get_running_loop().call_later(0.5, setattr, engine, "state", EngineState.FAILED)
    return engine


if __name__ == "__main__":
    main(engine=_engine)
