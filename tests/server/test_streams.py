"""A stream is cheap, notices who leaves, and says what went wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from connection import Connection
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, Serve
from waiting import eventually

from genesis_stack.engine.interface import Delta, FinishReason, GenerationRequest, Usage


async def _endless(_request: GenerationRequest) -> AsyncGenerator[Delta]:
    yield Delta(0, "a", (1,))
    await asyncio.Event().wait()


async def _silent(_request: GenerationRequest) -> AsyncGenerator[Delta]:
    await asyncio.Event().wait()
    yield Delta(0, "never", (1,))


@pytest.mark.parametrize("script", [_endless, _silent])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_request(serve: Serve, script: Any, stream: bool) -> None:
    """Whether it streams or waits, before the first token or after it."""
    served = await serve(ScriptedEngine(script))
    connection = Connection(served, stream=stream)
    await eventually(lambda: served.engine.requests)
    if stream and script is _endless:
        await eventually(lambda: b'"content":"a"' in connection.body)
    connection.leave()
    async with asyncio.timeout(5):
        await connection.task
    assert served.engine.closed == [served.engine.requests[0].request_id]
    metrics = (await served.http.get("/metrics")).text
    assert 'route="/v1/chat/completions",status="499"' in metrics or (stream and script is _endless)


async def test_deltas_that_wait_for_a_slow_client_leave_together(serve: Serve) -> None:
    """While one send is under way the others gather: one more send takes them all."""
    served = await serve(ScriptedEngine(saying(*["x"] * 50)))
    connection = Connection(served)
    connection.reads.clear()
    await eventually(lambda: served.engine.closed)
    connection.reads.set()
    await connection.task
    assert connection.body.count(b'"content":"x"') == 50
    assert len(connection.sent) < 10
    assert connection.body.endswith(b"data: [DONE]\n\n")


async def test_headers_leave_with_the_first_token(serve: Serve) -> None:
    """Nothing is sent before, so that a failure can still have its status."""
    served = await serve(ScriptedEngine(_silent))
    connection = Connection(served)
    await eventually(lambda: served.engine.requests)
    await asyncio.sleep(0)
    assert connection.sent == []
    connection.leave()
    await connection.task


@pytest.mark.parametrize("fault", [RuntimeError("secret"), None])
async def test_a_failure_in_midstream_is_an_error_event_and_the_end(
    serve: Serve, fault: Exception | None
) -> None:
    """After the first token a failure has no status left: the event has the body, and no [DONE] follows."""
    seen = asyncio.Event()

    async def script(_request: GenerationRequest) -> AsyncGenerator[Delta]:
        yield Delta(0, "a", (1,))
        await seen.wait()
        if fault:
            raise fault
        yield Delta(0, "", finish=FinishReason.ERROR, usage=Usage(1, 1, 0))

    served = await serve(ScriptedEngine(script))
    connection = Connection(served)
    await eventually(lambda: b'"content":"a"' in connection.body)
    seen.set()
    await connection.task
    assert connection.status == 200
    *_, last = connection.body.decode().strip().split("\n\n")
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["type"] == "server_error"
    assert b"secret" not in connection.body


async def test_several_prompts_stream_through_each_other(serve: Serve) -> None:
    """Choice p * n + i belongs to prompt p; the counts are those of all."""
    served = await serve(ScriptedEngine(saying("a", "b")))
    body = {"model": MODEL, "prompt": ["one", "two"], "n": 2, "echo": True}
    answer = (await served.post("/v1/completions", body)).json()
    assert [choice["text"] for choice in answer["choices"]] == ["oneab", "oneab", "twoab", "twoab"]
    assert answer["usage"]["completion_tokens"] == 8
    streamed = await served.post(
        "/v1/completions", {**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert '"completion_tokens":8' in streamed.text
    assert streamed.text.count('"finish_reason":"stop"') == 4


async def test_one_prompt_s_failure_ends_the_others(serve: Serve) -> None:
    """The whole request fails, and no sequence is left behind."""

    async def script(request: GenerationRequest) -> AsyncGenerator[Delta]:
        if bytes(request.prompt) == b"bad":
            raise ValueError
        await asyncio.Event().wait()
        yield Delta(0, "", (1,))

    served = await serve(ScriptedEngine(script))
    response = await served.post("/v1/completions", {"model": MODEL, "prompt": ["good", "bad"]})
    assert response.status_code == 500
    assert len(served.engine.closed) == 2
