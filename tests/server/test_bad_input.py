"""Whatever a client sends, it gets a short 4xx in OpenAI's shape, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from serving import Serve, Served

from genesis_stack.engine.interface import (
    ContextLengthError,
    Delta,
    EngineUnavailableError,
    InvalidRequestError,
    QueueFullError,
)

CHAT = "/v1/chat/completions"
HEADERS = {"content-type": "application/json"}


def assert_error(response: Any, status: int, *, code: str | None = None, param: str | None = None) -> None:
    """The status, and a body of OpenAI's shape that is short."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert len(response.content) < 1000
    assert code is None or error["code"] == code
    assert param is None or error["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "16"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": 2**63}, "seed"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"stop": ["x"] * 1000}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": [1]}, "stop[0]"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"top_logprobs": 3}, None),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": ""}] * 3000}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0]"),
        ({"messages": "x"}, "messages"),
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"grammar": "root ::= x", "response_format": {"type": "json_object"}}, "grammar"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
    ],
)
async def test_a_field_out_of_bounds_is_named(
    served: Served, fields: dict[str, Any], param: str | None
) -> None:
    """A 400 that says which field, before the engine hears of it."""
    assert_error(await served.chat(**fields), 400, param=param)
    assert served.engine.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model":"scripted","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"scripted","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"scripted","model":"scripted","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"scripted","messages":[{"role":"user","role":"user","content":"x"}]}',
        b'{"model":"scripted","temperature":NaN,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"scripted","temperature":Infinity,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"scripted","temperature":1e999,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"scripted","seed":' + b"9" * 5000 + b',"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"scripted","x":' + b"[" * 5000 + b"]" * 5000 + b',"messages":[]}',
        b'{"model":"scripted","chat_template_kwargs":{"a":1e999},"messages":[{"role":"user","content":"x"}]}',
    ],
)
async def test_what_is_no_json_is_refused(served: Served, body: bytes) -> None:
    """RFC 8259 to the letter: no NaN, no lone surrogates, unique names, bounded depth and numbers."""
    assert_error(await served.http.post(CHAT, content=body, headers=HEADERS), 400)
    assert served.engine.requests == []


async def test_a_long_value_is_not_echoed(served: Served) -> None:
    """The error is short however long the input was."""
    response = await served.chat(stop=["y" * 50_000])
    assert_error(response, 400, param="stop[0]")
    assert "yyy" not in response.text
    assert_error(await served.chat(model="z" * 50_000), 400, param="model")
    name = b'"' + b"k" * 40_000 + b'":1'
    assert_error(await served.http.post(CHAT, content=b"{" + name + b"," + name + b"}", headers=HEADERS), 400)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "EVIL"},
        {"messages": [{"role": "EVIL", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "EVIL"}]}]},
        {"logit_bias": {"<EVIL>": 1}},
        {"response_format": {"type": "EVIL"}},
        {"tool_choice": "EVIL"},
        {"tools": [{"type": "function", "function": {"name": "<EVIL>"}}]},
    ],
)
async def test_a_value_is_not_echoed(served: Served, fields: dict[str, Any]) -> None:
    """The error names the field and what it takes, not what was sent."""
    response = await served.chat(**fields)
    assert response.status_code in {400, 404}
    assert "EVIL" not in response.text


async def test_a_key_that_stands_twice_is_not_echoed(served: Served) -> None:
    """Where it is has to do."""
    body = b'{"EVIL":1,"EVIL":2}'
    response = await served.http.post(CHAT, content=body, headers=HEADERS)
    assert_error(response, 400, code="invalid_json")
    assert "EVIL" not in response.text


async def test_unknown_fields_are_ignored_and_counted(served: Served) -> None:
    """One rule: the request works, and the metric tells that somebody expects more."""
    assert (await served.chat(wisdom=3, luck=None)).status_code == 200
    assert "genesis_ignored_fields_total 2.0" in (await served.http.get("/metrics")).text


async def test_a_body_beyond_the_limit_is_refused(served: Served) -> None:
    """413 by its announced length alone."""
    assert_error(
        await served.http.post(CHAT, content=b" " * 200_000, headers=HEADERS), 413, code="body_too_large"
    )


async def test_a_body_without_a_length_is_refused_while_it_arrives(served: Served) -> None:
    """413 as soon as the limit is passed: the rest is never read."""
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 10_000
            await asyncio.sleep(0)

    response = await served.http.post(CHAT, content=endless(), headers=HEADERS)
    assert_error(response, 413, code="body_too_large")
    assert sent < 20


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-type": "text/plain"}, {"content-type": "application/json", "content-encoding": "gzip"}],
)
async def test_another_content_type_is_refused(served: Served, headers: dict[str, str]) -> None:
    """415, with the remedy."""
    assert_error(await served.http.post(CHAT, content=b"{}", headers=headers), 415)


async def test_another_model_is_not_found(served: Served) -> None:
    """404 with the code that clients know, everywhere."""
    assert_error(await served.chat(model="gpt-9"), 404, code="model_not_found", param="model")
    assert_error(await served.http.get("/v1/models/gpt-9"), 404, code="model_not_found")
    assert_error(
        await served.post("/v1/completions", {"model": "x", "prompt": "x"}), 404, code="model_not_found"
    )


async def test_unknown_paths_and_methods_have_the_same_shape(served: Served) -> None:
    """404 and 405, the latter with what is allowed."""
    assert_error(await served.http.get("/v2/nothing"), 404, code="not_found")
    response = await served.http.get(CHAT)
    assert_error(response, 405, code="method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (InvalidRequestError("No such grammar.", param="grammar"), 400, None),
        (ContextLengthError(prompt_tokens=9000, max_tokens=16, context=8192), 400, "context_length_exceeded"),
        (QueueFullError("The queue is full.", retry_after=2.1), 503, "queue_full"),
        (EngineUnavailableError("It drains.", retry_after=0.1), 503, "unavailable"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_engine_s_refusal_becomes_a_status(
    serve: Serve, refusal: Exception, status: int, code: str | None, stream: bool
) -> None:
    """Also for a stream: nothing was sent yet."""
    served = await serve(ScriptedEngine())
    served.engine.refusal = refusal
    response = await served.chat(stream=stream)
    assert_error(response, status, code=code)
    if isinstance(refusal, ContextLengthError):
        assert "9000" in response.text
        assert "8192" in response.text
    if status == 503:
        assert response.headers["retry-after"] == ("3" if code == "queue_full" else "1")


async def test_an_unexpected_exception_shows_its_request_id_only(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without a word of the fault; the log has the traceback under the same id."""

    async def script(_request: object) -> AsyncGenerator[Delta]:
        raise ZeroDivisionError("secret detail")
        yield  # type: ignore[unreachable]

    served = await serve(ScriptedEngine(script))
    response = await served.chat()
    assert_error(response, 500, code="internal_error")
    assert "secret" not in response.text
    request_id = response.headers["x-request-id"]
    assert request_id in response.text
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.__dict__["request_id"] == request_id
    assert "secret detail" in caplog.text


async def test_others_are_served_while_nonsense_arrives(served: Served) -> None:
    """A hundred bad requests and one good one at the same time: the good one is answered."""
    bad = [served.chat(max_tokens=-1) for _ in range(100)]
    *refused, answered = await asyncio.gather(*bad, served.chat())
    assert answered.json()["choices"][0]["message"]["content"] == "Hello."
    assert {response.status_code for response in refused} == {400}


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ""},
        {"prompt": []},
        {"prompt": [""]},
        {"prompt": [[]]},
        {"prompt": [99999]},
        {"prompt": [-1]},
        {"prompt": ["x"] * 1000},
        {"prompt": {"a": 1}},
        {"prompt": "x", "suffix": "y"},
        {},
    ],
)
async def test_a_prompt_that_is_none_is_refused(served: Served, body: dict[str, Any]) -> None:
    """Empty, unknown tokens, too many."""
    assert_error(await served.post("/v1/completions", {"model": "scripted", **body}), 400)
