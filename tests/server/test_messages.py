"""Anthropic's Messages API, spoken to with its own SDK."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, Serve, Served

from genesis_stack.engine.interface import Delta, FinishReason, QueueFullError, Timings, Usage

QUESTION: list[Any] = [{"role": "user", "content": "hi"}]
TOOL: Any = {
    "name": "weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
HERMES = (
    "{% if tools %}<tool_call>{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
)
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


def sdk(served: Served) -> AsyncAnthropic:
    """Its client of this server."""
    transport = httpx2.ASGITransport(served.app, client=("192.0.2.1", 1))
    return AsyncAnthropic(
        api_key="gk_any_key",
        base_url="http://test",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=transport),
    )


async def test_a_message_is_answered(served: Served) -> None:
    """With its text, why it stopped, and what was counted."""
    message = await sdk(served).messages.create(
        model=MODEL, max_tokens=16, messages=QUESTION, system="Be brief."
    )
    assert [block.text for block in message.content if block.type == "text"] == ["Hello."]
    assert (message.role, message.model, message.stop_reason) == ("assistant", MODEL, "end_turn")
    request = served.engine.requests[0]
    prompt = served.engine.detokenize(request.prompt)
    assert prompt.index("Be brief.") < prompt.index("hi")
    assert request.sampling.max_tokens == 16
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) == len(request.prompt)


async def test_a_stream_is_the_same_message(serve: Serve) -> None:
    """Put together from its events by the SDK."""
    served = await serve(ScriptedEngine(saying("Hel", "lo", ".")))
    async with sdk(served).messages.stream(model=MODEL, max_tokens=16, messages=QUESTION) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert texts == ["Hel", "lo", "."]
    assert [block.text for block in message.content if block.type == "text"] == ["Hello."]
    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_used_and_its_result_sent_back(serve: Serve, streamed: bool) -> None:
    """The call as a block with its input; the result as a turn of the user's."""
    served = await serve(ScriptedEngine(saying("Let me see. ", CALL), template=HERMES))
    ask: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": QUESTION, "tools": [TOOL]}
    if streamed:
        async with sdk(served).messages.stream(**ask) as stream:
            message = await stream.get_final_message()
    else:
        message = await sdk(served).messages.create(**ask)
    text, call = message.content
    assert (text.type, call.type, message.stop_reason) == ("text", "tool_use", "tool_use")
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("weather", {"city": "Oslo"})
    answered = [
        *QUESTION,
        {"role": "assistant", "content": [block.model_dump() for block in message.content]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": call.id, "content": "rain"},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    await sdk(served).messages.create(**{**ask, "messages": answered})
    prompt = served.engine.detokenize(served.engine.requests[-1].prompt)
    assert prompt.index("tool: rain") < prompt.index("user: And now?")


async def test_a_stop_sequence_is_named(serve: Serve) -> None:
    """So that a program knows which of them it was."""

    async def script(_: object) -> Any:
        yield Delta(0, "one ", tokens=(0,))
        yield Delta(0, "", (), (), FinishReason.STOP, Usage(3, 1, 0), Timings(0.0, 0.0, 0.0), stop="END")

    served = await serve(ScriptedEngine(script))
    message = await sdk(served).messages.create(
        model=MODEL, max_tokens=16, messages=QUESTION, stop_sequences=["END", "STOP"]
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert list(served.engine.requests[0].sampling.stop) == ["END", "STOP"]


async def test_a_cut_answer_says_so(serve: Serve) -> None:
    """By the reason max_tokens."""
    served = await serve(ScriptedEngine(saying("Hel", finish=FinishReason.LENGTH)))
    message = await sdk(served).messages.create(model=MODEL, max_tokens=1, messages=QUESTION)
    assert message.stop_reason == "max_tokens"


async def test_tokens_are_counted_without_asking(served: Served) -> None:
    """As many as the prompt of such a message has."""
    counted = await sdk(served).messages.count_tokens(model=MODEL, messages=QUESTION)
    assert not served.engine.requests
    message = await sdk(served).messages.create(model=MODEL, max_tokens=16, messages=QUESTION)
    assert counted.input_tokens == message.usage.input_tokens


async def test_refusals_have_the_shape_that_the_sdk_reads(served: Served) -> None:
    """By type: a mistake, another model, a full queue."""
    client = sdk(served)
    with pytest.raises(anthropic.BadRequestError) as bad:
        await client.messages.create(model=MODEL, max_tokens=-1, messages=QUESTION)
    assert bad.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    with pytest.raises(anthropic.NotFoundError) as other:
        await client.messages.create(model="other", max_tokens=1, messages=QUESTION)
    assert other.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    served.engine.refusal = QueueFullError("full", retry_after=3.0)
    with pytest.raises(anthropic.APIStatusError) as full:
        await client.messages.create(model=MODEL, max_tokens=1, messages=QUESTION)
    assert full.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]
    assert full.value.response.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    "content",
    [
        [],
        [{"type": "thinking", "thinking": ""}],
        [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}],
    ],
    ids=["nothing", "only thinking", "a call by the user"],
)
async def test_turns_that_are_none_are_refused(served: Served, content: list[Any]) -> None:
    """With 400, never 500."""
    turns = [{"role": "user", "content": content}]
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = await served.post(path, {"model": MODEL, "max_tokens": 4, "messages": turns})
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"


async def test_images_go_the_way_of_chats(served: Served) -> None:
    """A text model refuses them with the reason, whichever source they have."""
    sources = [
        {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"},
        {"type": "url", "url": "https://192.0.2.1/cat.png"},
    ]
    for source in sources:
        content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
        body = {"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": content}]}
        response = await served.post("/v1/messages", body)
        assert response.status_code == 400
        assert json.loads(response.content)["type"] == "error"
