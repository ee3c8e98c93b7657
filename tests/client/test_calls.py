"""What a call sends and makes of an answer, against a server that records."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from client.stand_in import (
    MODEL,
    Answer,
    Reply,
    Request,
    chat_reply,
    error_reply,
    stand_in,
    stream_reply,
)
from genesis_stack.client import (
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    EnsembleError,
    IntegrityError,
    LocalLLMClient,
    LocalLLMError,
    MalformedResponseError,
    Message,
    OverloadedError,
    ServerFaultError,
    StreamInterruptedError,
    UnavailableError,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")

ONCE = {"attempts": 1}
QUICK = {"initial": 0.01, "cap": 0.02}


def client_of(*endpoints: dict[str, Any], **settings: Any) -> LocalLLMClient:
    """A client that does not wait long between attempts."""
    return LocalLLMClient(**{"endpoints": endpoints, "retry": QUICK, **settings})


def at(url: str, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """An endpoint."""
    return {"url": url, "model": model, **fields}


def always(reply: Reply) -> Answer:
    """The same answer to everything."""
    return lambda _: reply


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
        assert all(replica.outstanding == 0 for replica in await _replicas(client))


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
                await _all(client, "Hi.")


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
            await _all(client, "Hi.")
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
        answer = await _all(client, "Hi.")
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
        answer = await _all(client, "Hi.")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("f", '{"x": 1}'), ("g", "{}")]
    assert answer.finish_reason == "tool_calls"


async def test_the_majority_wins_and_the_judge_decides() -> None:
    """Whatever the case and the full stop; the judge sees answers without names."""

    def answer(request: Request) -> Reply:
        model = request.body["model"]
        if "response_format" in request.body:
            assert "left" not in json.dumps(request.body["messages"])
            return chat_reply('{"best": 2}')
        return chat_reply({"left": "Paris", "right": "paris.", "wrong": "Rome"}[model])

    async with stand_in(answer) as server:
        models = ["wrong", "left", "right"]
        async with client_of(*(at(server.url, model) for model in models)) as client:
            voted = await client.ensemble("Capital of France?", models)
            assert (voted.winner.text, voted.votes) == ("Paris", 2)
            judged = await client.ensemble("Capital of France?", models, strategy="best_of", judge="wrong")
            assert judged.winner.text == "Paris"
            good = await client.ensemble(
                "Capital?", models, strategy="first_good", accept=lambda answer: answer.text == "Rome"
            )
            assert good.winner.model == "wrong"
            with pytest.raises(EnsembleError, match="3 answers were not accepted"):
                await client.ensemble("Capital?", models, accept=lambda _: False)


async def test_a_model_that_fails_in_an_ensemble_only_loses_its_vote() -> None:
    """The others decide."""
    async with (
        stand_in(always(error_reply(500))) as broken,
        stand_in(always(chat_reply("Yes."))) as well,
        client_of(at(broken.url, "a"), at(well.url, "b"), retry=ONCE) as client,
    ):
        result = await client.ensemble("Well?", ["a", "b"])
        assert (result.winner.text, result.votes) == ("Yes.", 1)
        assert isinstance(result.answers[0], UnavailableError)


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


async def test_a_batch_is_bounded_and_cancellable() -> None:
    """No more than `concurrency` at a time; a cancelled batch leaves nothing behind."""
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(replica.outstanding for replica in await _replicas(client)))
            await asyncio.sleep(0.005)

    slow = Reply(after=0.03, body=chat_reply().body)
    async with stand_in(always(slow)) as server, client_of(at(server.url)) as client:
        watcher = asyncio.create_task(watch())
        result = await client.complete_batch(["Hi."] * 12, concurrency=3)
        watcher.cancel()
        assert len(result.completions) == 12
        assert most == 3
        batch = asyncio.create_task(client.complete_batch(["Hi."] * 50, concurrency=5))
        await asyncio.sleep(0.01)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch


async def test_answers_of_a_batch_come_in_the_order_of_the_prompts() -> None:
    """Also when the last one is ready first."""

    def answer(request: Request) -> Reply:
        number = int(request.body["messages"][0]["content"])
        return replace(chat_reply(f"answer {number}"), after=0.05 - number * 0.01)

    async with stand_in(answer) as server, client_of(at(server.url)) as client:
        result = await client.complete_batch([str(number) for number in range(5)], concurrency=5)
    assert result.texts == tuple(f"answer {number}" for number in range(5))


async def test_a_bar_is_drawn_on_request_and_not_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, so that stdout stays data."""
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        await client.complete_batch(["Hi."] * 2)
        assert capsys.readouterr().err == ""
        await client.complete_batch(["Hi."] * 2, progress=True)
    captured = capsys.readouterr()
    assert "2/2" in captured.err
    assert captured.out == ""


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


async def _all(client: LocalLLMClient, prompt: str, **options: Any) -> Any:
    async with client.stream(prompt, **options) as stream:
        async for _ in stream:
            pass
    return stream.result


async def _failing(client: LocalLLMClient, failure: Exception) -> None:
    async with client.stream("Hi."):
        raise failure


async def _replicas(client: LocalLLMClient) -> Any:
    session = client._session
    return (await session.dispatcher(session.deadline({}))).replicas.every()


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


async def test_a_batch_without_workers_is_an_error() -> None:
    """Instead of nothing at all."""
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        with pytest.raises(ConfigurationError, match="concurrency"):
            await client.complete_batch(["Hi."], concurrency=0)


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
        await asyncio.sleep(0.02)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await client.complete_text("Hi.", deadline=0.1)
        assert time.monotonic() - started < 2
        patient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await patient


async def test_what_happens_in_the_block_of_a_stream_is_not_the_servers_fault() -> None:
    """Neither the program's own failures, nor those of other calls."""
    async with (
        stand_in(always(stream_reply("Once ", "upon"))) as server,
        client_of(at(server.url), breaker={"failures": 1}) as client,
    ):
        for failure in (ValueError("mine"), OverloadedError("another server")):
            with pytest.raises(type(failure)):
                await _failing(client, failure)
        assert (await _all(client, "Hi.")).text == "Once upon"


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
                await _all(client, "Hi.", deadline=0.2)


async def test_a_client_that_is_closed_under_a_call_ends_it_with_an_error() -> None:
    """Typed, and at once."""
    slow = Reply(after=30, body=chat_reply().body)
    async with stand_in(always(slow)) as server:
        client = client_of(at(server.url), retry={"attempts": 3, "initial": 0.05, "cap": 0.05})
        async with client:
            call = asyncio.create_task(client.complete_text("Hi."))
            while not server.requests:  # noqa: ASYNC110 -- the stand-in has no event to wait for
                await asyncio.sleep(0.005)
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
