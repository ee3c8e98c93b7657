"""`genesis-serve` with an engine that answers at once: what remains of a request is the server's own work.

The engine is the one that tests script, which must be on the path of this process.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from scripted_engine import ScriptedEngine, saying

from genesis_stack.engine.interface import Delta, FinishReason, GenerationRequest
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.main import main


def _as_many_as_asked_for(request: GenerationRequest) -> AsyncGenerator[Delta]:
    texts = [" word"] * (request.sampling.max_tokens or 1)
    return saying(*texts, finish=FinishReason.LENGTH)(request)


async def _engine(_config: ServeConfig) -> ScriptedEngine:
    return ScriptedEngine(_as_many_as_asked_for)


if __name__ == "__main__":
    main(engine=_engine)
