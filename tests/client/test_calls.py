"""What a call sends and makes of an answer, against a server that records."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from waiting import eventually

from client.asking import ONCE, always, at, client_of, replicas
from client.stand_in import (
    MODEL,
    Reply,
    Request,
    chat_reply,
    error_reply,
    stand_in,
)
from genesis_stack.client import (
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    IntegrityError,
    LocalLLMClient,
    LocalLLMError,
    MalformedResponseError,
    Message,
    OverloadedError,
    ServerFaultError,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")


async def test_a_request_carries_an_id_and_the_options_by_openais_names() -> None:
    """And nothing about routing."""
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        answer = await client.complete_text(
            "Hi.", system="Be kind.", temperature=0.5, stop=["x"], tags=[], deadline=9, extra={"mirostat": 2}
        )
    (request,) = server.requests
    assert request.headers["x-request-id"] == answer.request_id
    assert request.body == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}],
        "temperature": 0.5,
        "stop": ["x"],
        "mirostat": 2,
    }


async def test_a_misspelt_option_is_named_with_its_neighbour() -> None:
    """And nothing is sent."""
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        with pytest.raises(ConfigurationError, match="did you mean max_tokens"):
            await client.complete_text("Hi.", max_token=3)  # type: ignore[call-arg]
    assert not server.requests


async def test_a_failing_model_is_replaced_by_its_fallback() -> None:
    """And the answer says so."""
    async with (
        stand_in(always(error_reply(503))) as broken,
        stand_in(always(chat_reply("Here."))) as other,
        client_of(
            at(broken.url, "big"), at(other.url, "small"), routing={"fallbacks": {"big": ["small"]}}
        ) as client,
    ):
        answer = await client.complete_text("Hi.", model="big")
        assert (answer.text, answer.model, answer.degraded) == ("Here.", "small", "fallback")
        assert answer.origin.attempts == 4


async def test_a_refusal_is_not_given_to_a_fallback() -> None:
    """What is wrong with a request is wrong everywhere."""
    async with (
        stand_in(always(error_reply(400, "temperature: no"))) as strict,
        stand_in(always(chat_reply())) as other,
        client_of(
            at(strict.url, "big"), at(other.url, "small"), routing={"fallbacks": {"big": ["small"]}}
        ) as client,
    ):
        with pytest.raises(Exception, match="temperature: no"):
            await client.complete_text("Hi.", model="big")
    assert not other.requests


async def test_an_earlier_answer_stands_in_when_nobody_answers() -> None:
    """For the very same question only, and only by the policy."""
    replies = iter([chat_reply("First.")])
    async with (
        stand_in(lambda _: next(replies, error_reply(503))) as server,
        client_of(at(server.url), retry=ONCE, cached_answers=2) as client,
    ):
        assert (await client.complete_text("Hi.")).degraded is None
        again = await client.complete_text("Hi.")
        assert (again.text, again.degraded) == ("First.", "cached")
        with pytest.raises(OverloadedError):
            await client.complete_text("Something else.")


async def test_a_slow_server_is_overtaken_by_another() -> None:
    """The loser's connection is closed, so that its model stops."""
    slow = Reply(after=30, body=chat_reply().body)
    async with (
        stand_in(always(slow)) as first,
        stand_in(always(chat_reply("Fast."))) as second,
        client_of(at(first.url), at(second.url), routing={"affinity": False}) as client,
    ):
        started = time.monotonic()
        answer = await client.complete_text("Hi.", hedge_after=0.05)
        assert answer.text == "Fast."
        assert time.monotonic() - started < 5
        assert all(replica.outstanding == 0 for replica in await replicas(client))


async def test_a_hedge_needs_a_second_server() -> None:
    """One that is slow must not get everything twice."""
    slow = Reply(after=0.2, body=chat_reply().body)
    async with stand_in(always(slow)) as server, client_of(at(server.url)) as client:
        assert (await client.complete_text("Hi.", hedge_after=0.01)).text == "Hello."
    assert len(server.requests) == 1


async def test_a_retry_goes_to_another_replica_at_once() -> None:
    """Whatever the first one asks to wait."""
    async with (
        stand_in(always(error_reply(503, retry_after="60"))) as busy,
        stand_in(always(chat_reply())) as idle,
        client_of(at(busy.url), at(idle.url), routing={"affinity": False}) as client,
    ):
        started = time.monotonic()
        assert (await client.complete_text("Hi.")).origin.attempts == 2
        assert time.monotonic() - started < 5


async def test_a_full_queue_opens_no_circuit() -> None:
    """A healthy server that is busy is asked again when it says."""
    full = error_reply(503, code="queue_full", retry_after="0")
    async with (
        stand_in(always(full)) as server,
        client_of(at(server.url), retry=ONCE, breaker={"failures": 2}) as client,
    ):
        for _ in range(6):
            with pytest.raises(OverloadedError):
                await client.complete_text("Hi.")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": 3}]}', b""]
)
async def test_what_is_no_answer_is_a_typed_error(body: bytes) -> None:
    """A page of a proxy, an empty body, another shape."""
    async with stand_in(always(Reply(body=body))) as server, client_of(at(server.url)) as client:
        with pytest.raises(MalformedResponseError):
            await client.complete_text("Hi.")


async def test_weights_that_change_under_the_way_are_noticed_before_the_answer_is_used() -> None:
    """The fingerprint of an answer changes, `/health` is asked again, and the answer is not handed out."""
    state = {"digest": "a" * 64, "config": "1" * 64}

    def answer(request: Request) -> Reply:
        if request.path == "/health":
            body = {"status": "ready", "model_digest": state["digest"], "config_digest": state["config"]}
            return Reply(body=json.dumps(body).encode())
        reply = json.loads(chat_reply().body) | {"system_fingerprint": f"fp_{state['config'][:12]}"}
        return Reply(body=json.dumps(reply).encode())

    async with stand_in(answer) as server, client_of(at(server.url, sha256="a" * 64)) as client:
        for _ in range(3):
            await client.complete_text("Hi.")
        assert [request.path for request in server.requests].count("/health") == 1
        state["config"] = "2" * 64
        await client.complete_text("Hi.")
        assert [request.path for request in server.requests].count("/health") == 2
        state.update(digest="b" * 64, config="3" * 64)
        with pytest.raises(IntegrityError):
            await client.complete_text("Hi.")


async def test_embeddings_are_read_from_base64_and_from_lists() -> None:
    """In the order of the texts, whatever the order of the answer."""
    body = {
        "data": [
            {"index": 1, "embedding": [1.0, 2.0]},
            {"index": 0, "embedding": "AACAPwAAAMA="},
        ],
        "usage": {"prompt_tokens": 4},
    }
    reply = Reply(body=json.dumps(body).encode())
    async with (
        stand_in(always(reply)) as server,
        client_of(at(server.url, "bge", task="embedding")) as client,
    ):
        result = await client.embed(["a", "b"])
    assert result.vectors == ((1.0, -2.0), (1.0, 2.0))
    assert server.requests[0].body["input"] == ["a", "b"]


async def test_messages_in_openais_own_shape_pass_as_they_are() -> None:
    """Code that comes from a cloud SDK need not be rewritten."""
    messages = [{"role": "user", "content": "Hi."}, Message.assistant("Hello."), Message.user("And?")]
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        await client.chat(messages)
    assert [message["role"] for message in server.requests[0].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"request_id": "a\r\nb"}, "request_id"),
        ({"extra": {"x": object()}}, "JSON"),
        ({"stop": "\ud800"}, "surrogates"),
    ],
)
async def test_what_cannot_be_sent_is_the_callers_error(options: dict[str, Any], word: str) -> None:
    """And no fault of the server: its breaker stays closed."""
    async with (
        stand_in(always(chat_reply())) as server,
        client_of(at(server.url), breaker={"failures": 1}) as client,
    ):
        with pytest.raises(ConfigurationError, match=word):
            await client.complete_text("Hi.", **options)
        await client.complete_text("Hi.")
    assert len(server.requests) == 1


async def test_no_time_is_no_time() -> None:
    """A deadline of nothing is not the default one; nothing is sent, and no server is to blame."""
    async with (
        stand_in(always(chat_reply())) as server,
        client_of(at(server.url), breaker={"failures": 1}) as client,
    ):
        for _ in range(3):
            with pytest.raises(DeadlineExceededError):
                await client.complete_text("Hi.", deadline=0)
        assert not server.requests
        assert (await client.complete_text("Hi.")).text


async def test_waiting_for_the_first_call_to_find_the_models_has_its_deadline_too() -> None:
    """One patient call must not hold up the hurried ones."""
    async with stand_in(always(Reply(after=30))) as server, LocalLLMClient(server.url) as client:
        patient = asyncio.create_task(client.complete_text("Hi."))
        await eventually(lambda: server.requests)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await client.complete_text("Hi.", deadline=0.1)
        assert time.monotonic() - started < 2
        patient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await patient


async def test_a_client_that_is_closed_under_a_call_ends_it_with_an_error() -> None:
    """Typed, and at once."""
    slow = Reply(after=30, body=chat_reply().body)
    async with stand_in(always(slow)) as server:
        client = client_of(at(server.url), retry={"attempts": 3, "initial": 0.05, "cap": 0.05})
        async with client:
            call = asyncio.create_task(client.complete_text("Hi."))
            await eventually(lambda: server.requests)
        with pytest.raises(LocalLLMError):
            await asyncio.wait_for(call, 5)


async def test_an_open_circuit_hides_no_reason() -> None:
    """When it opens between two attempts, the caller learns what opened it."""
    async with (
        stand_in(always(error_reply(500, "disk on fire"))) as server,
        client_of(at(server.url), breaker={"failures": 2}) as client,
    ):
        with pytest.raises(ServerFaultError, match="disk on fire"):
            await client.complete_text("Hi.")
        with pytest.raises(CircuitOpenError):
            await client.complete_text("Hi.")
    assert len(server.requests) == 2
