"""What a stream brings, and how it may end, against a server that records."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client.asking import always, at, client_of, failing, read_all
from client.stand_in import (
    Reply,
    stand_in,
    stream_reply,
)
from genesis_stack.client import (
    MalformedResponseError,
    OverloadedError,
    StreamInterruptedError,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")


@pytest.mark.parametrize(
    "events",
    [
        b"data: <html>\n\n",
        b"data: []\n\n",
        b'data: {"choices": 3}\n\n',
        b'data: {"choices": [{"delta": 1}]}\n\n',
    ],
)
async def test_what_is_no_stream_is_a_typed_error(events: bytes) -> None:
    """In the middle as at the start."""
    for before in (b"", stream_reply("Once ", done=False).body):
        async with (
            stand_in(always(Reply(body=before + events))) as server,
            client_of(at(server.url)) as client,
        ):
            with pytest.raises((MalformedResponseError, StreamInterruptedError)):
                await read_all(client, "Hi.")


async def test_an_answer_without_an_end_is_cut_off_in_time() -> None:
    """At max_response_bytes."""
    huge = Reply(body=b" " * 100_000)
    async with (
        stand_in(always(huge)) as server,
        client_of(at(server.url), max_response_bytes=10_000) as client,
    ):
        with pytest.raises(MalformedResponseError, match="10000"):
            await client.complete_text("Hi.")


async def test_an_error_event_after_tokens_ends_the_stream_with_what_came() -> None:
    """And is not retried."""
    error = b'data: {"error": {"message": "no", "code": "engine_error"}}\n\n'
    reply = Reply(body=stream_reply("Once ", "upon", done=False).body + error)
    async with stand_in(always(reply)) as server, client_of(at(server.url)) as client:
        with pytest.raises(StreamInterruptedError) as caught:
            await read_all(client, "Hi.")
    assert caught.value.partial.text == "Once upon"
    assert len(server.requests) == 1


async def test_a_stream_that_fails_before_its_first_token_is_sent_again() -> None:
    """Its head has come, and the role; nobody has seen a word of it."""
    error = b'data: {"error": {"message": "no", "code": "cancelled"}}\n\n'
    replies = iter(
        [
            stream_reply(done=False, cut=True),
            Reply(body=stream_reply(done=False).body + error),
            stream_reply("Yes."),
        ]
    )
    async with stand_in(lambda _: next(replies)) as server, client_of(at(server.url)) as client:
        answer = await read_all(client, "Hi.")
    assert (answer.text, answer.origin.attempts) == ("Yes.", 3)


async def test_tool_calls_are_put_together_from_a_stream() -> None:
    """Piece by piece, several side by side."""
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": " 1}"}},
    ]
    events = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    events.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)
    async with stand_in(always(Reply(body=body))) as server, client_of(at(server.url)) as client:
        answer = await read_all(client, "Hi.")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("f", '{"x": 1}'), ("g", "{}")]
    assert answer.finish_reason == "tool_calls"


async def test_what_happens_in_the_block_of_a_stream_is_not_the_servers_fault() -> None:
    """Neither the program's own failures, nor those of other calls."""
    async with (
        stand_in(always(stream_reply("Once ", "upon"))) as server,
        client_of(at(server.url), breaker={"failures": 1}) as client,
    ):
        for failure in (ValueError("mine"), OverloadedError("another server")):
            with pytest.raises(type(failure)):
                await failing(client, failure)
        assert (await read_all(client, "Hi.")).text == "Once upon"


async def test_a_stream_that_takes_too_long_opens_no_circuit() -> None:
    """It was coming: the deadline was short, not the server ill."""
    cut = stream_reply("Once ", done=False)
    endless = replace(cut, headers={**cut.headers, "content-length": "100000"})
    async with (
        stand_in(always(endless)) as server,
        client_of(at(server.url), breaker={"failures": 1}) as client,
    ):
        for _ in range(2):
            with pytest.raises(StreamInterruptedError):
                await read_all(client, "Hi.", deadline=0.2)
