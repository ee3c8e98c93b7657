"""POST /v1/chat/completions has OpenAI's shapes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from scripted_engine import ScriptedEngine, saying
from serving import Serve, Served, events

from genesis_stack.engine.interface import (
    ChosenLogprob,
    Delta,
    FinishReason,
    GenerationRequest,
    TokenLogprob,
    Usage,
)


async def test_an_answer_has_the_shape_of_openai(served: Served) -> None:
    """Ids, counts and the finish reason are where clients look for them."""
    body = (await served.chat()).json()
    assert body["id"].startswith("chatcmpl-")
    assert (body["object"], body["model"]) == ("chat.completion", "scripted")
    assert body["system_fingerprint"].startswith("fp_")
    (choice,) = body["choices"]
    assert choice["message"]["content"] == "Hello."
    assert choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert body["timings"]["prompt_ms"] == pytest.approx(2.0)


async def test_a_stream_adds_up_to_the_answer(served: Served) -> None:
    """Role first, then the text, then the finish reason, then [DONE]."""
    response = await served.chat(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = events(response)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_usage_comes_last_when_it_is_asked_for(served: Served) -> None:
    """With include_usage the last chunk has no choices, and the others say null."""
    chunks = events(await served.chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_n_choices_come_by_index(serve: Serve) -> None:
    """Each choice streams its own role, text and end."""
    served = await serve(ScriptedEngine(saying("a", "b")))
    chunks = events(await served.chat(stream=True, n=3))
    texts = {0: "", 1: "", 2: ""}
    for chunk in chunks:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"].get("content", "")
    assert texts == {0: "ab", 1: "ab", 2: "ab"}
    assert served.engine.requests[0].n == 3


async def test_sampling_fields_reach_the_engine(served: Served) -> None:
    """OpenAI's fields and llama-server's extensions are passed on; null means the default."""
    await served.chat(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        repeat_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=-0.3,
        seed=7,
        logit_bias={"5": -100},
        stop="END",
        max_completion_tokens=9,
        grammar=None,
    )
    sampling = served.engine.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 40, 0.1)
    assert (sampling.repeat_penalty, sampling.presence_penalty, sampling.frequency_penalty) == (
        1.1,
        0.2,
        -0.3,
    )
    assert (sampling.seed, sampling.logit_bias, list(sampling.stop)) == (7, {5: -100}, ["END"])
    assert sampling.max_tokens == 9


async def test_the_temperature_is_one_unless_given(served: Served) -> None:
    """As at OpenAI."""
    await served.chat(temperature=None)
    assert served.engine.requests[0].sampling.temperature == 1.0


async def test_a_schema_reaches_the_engine_as_json(served: Served) -> None:
    """`response_format` constrains what is sampled."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    await served.chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    await served.chat(response_format={"type": "json_object"})
    first, second = served.engine.requests
    assert first.sampling.json_schema == '{"type": "object", "properties": {"a": {"type": "integer"}}}'
    assert second.sampling.json_schema == '{"type":"object"}'


async def test_log_probabilities_have_the_shape_of_openai(serve: Serve) -> None:
    """Each token has its bytes and its alternatives; the logarithm of zero is a number too."""

    async def script(_request: GenerationRequest) -> AsyncGenerator[Delta]:
        token = TokenLogprob(1, "é", "é".encode(), -0.5)
        never = TokenLogprob(2, "x", b"x", float("-inf"))
        yield Delta(0, "é", (1,), (ChosenLogprob(token, (token, never)),))
        yield Delta(0, "", finish=FinishReason.STOP, usage=Usage(1, 1, 0))

    served = await serve(ScriptedEngine(script))
    (entry,) = (await served.chat(logprobs=True, top_logprobs=2)).json()["choices"][0]["logprobs"]["content"]
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("é", -0.5, [0xC3, 0xA9])
    assert [top["logprob"] for top in entry["top_logprobs"]] == [-0.5, -9999.0]
    assert served.engine.requests[0].sampling.top_logprobs == 2


async def test_users_of_one_address_are_told_apart(served: Served) -> None:
    """The scheduler is fair between peers, and between the users that a peer names."""
    await served.chat()
    await served.chat(user="ada")
    assert [request.client for request in served.engine.requests] == ["127.0.0.1", "127.0.0.1/ada"]


async def test_content_parts_are_one_text(served: Served) -> None:
    """Text parts are joined; an image is refused with the reason."""
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    body = {"model": "scripted", "messages": [{"role": "user", "content": parts}]}
    await served.post("/v1/chat/completions", body)
    assert "one two" in served.engine.detokenize(served.engine.requests[0].prompt)
    parts[1] = {"type": "image_url", "image_url": {"url": "data:,"}}  # type: ignore[dict-item]
    refused = await served.post("/v1/chat/completions", body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "messages[0].content[1]"


@pytest.mark.parametrize(
    ("reason", "tokens", "status", "finish"),
    [
        (FinishReason.LENGTH, ("a",), 200, "length"),
        (FinishReason.TIMEOUT, ("a",), 200, "length"),
        (FinishReason.TIMEOUT, (), 503, None),
        (FinishReason.CANCELLED, ("a",), 503, None),
        (FinishReason.ERROR, ("a",), 500, None),
    ],
)
async def test_how_the_engine_ends_decides_the_status(
    serve: Serve, reason: FinishReason, tokens: tuple[str, ...], status: int, finish: str | None
) -> None:
    """Text that was paid for is delivered; without any the client is told to try again."""
    served = await serve(ScriptedEngine(saying(*tokens, finish=reason)))
    response = await served.chat()
    assert response.status_code == status
    if finish:
        assert response.json()["choices"][0]["finish_reason"] == finish
    if status == 503:
        assert int(response.headers["retry-after"]) >= 1
