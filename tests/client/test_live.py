"""What the client promises, against a real server with a real model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx
import pytest
from pydantic import BaseModel, Field
from small_model import DIGEST

from client.fault_proxy import Fault, FaultProxy
from client.live_server import MODEL, LiveServer
from genesis_stack.client import (
    AuthenticationError,
    ClosedError,
    ContextLengthError,
    IntegrityError,
    InvalidRequestError,
    LocalLLMClient,
    Message,
    NotFoundError,
    OwnLimitError,
    RateLimitedError,
    SignatureAuth,
    StructuredOutputError,
    ToolError,
    verify_file,
)

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("nothing_leaks")]


@pytest.fixture
async def client(live: LiveServer) -> AsyncGenerator[LocalLLMClient]:
    """A client of the live server, straight from its stack."""
    async with LocalLLMClient.from_stack(live.stack, client="bearer", api_key=live.key) as client:
        yield client


class Person(BaseModel):
    """Somebody."""

    name: str = Field(max_length=12)
    age: int


async def test_an_answer_has_text_usage_timings_id_and_model(client: LocalLLMClient) -> None:
    """All that a program wants to know of it."""
    answer = await client.complete_text(
        "Name a colour.", system="Be brief.", max_tokens=8, extra={"ignore_eos": True}
    )
    assert answer.text
    assert answer.model == MODEL
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8
    assert answer.finish_reason == "length"
    assert answer.timings.predicted_per_second
    assert len(answer.request_id) == 32
    assert str(answer) == answer.text


async def test_a_stream_is_the_answer_in_pieces(client: LocalLLMClient) -> None:
    """The likeliest answer is the same text, whole or in pieces."""
    story = "Tell me a long story."
    whole = await client.chat([Message.user(story)], max_tokens=12, temperature=0.0)
    async with client.stream(story, max_tokens=12, temperature=0.0) as stream:
        pieces = [chunk.text async for chunk in stream]
    assert "".join(pieces) == stream.result.text == whole.text
    assert len(pieces) > 2
    assert stream.result.usage == stream.partial.usage
    assert stream.result.usage.completion_tokens == 12


async def test_a_structured_answer_is_an_object(client: LocalLLMClient) -> None:
    """The server's grammar keeps even the smallest model to the schema."""
    person = await client.structured("Make up a person.", Person, max_tokens=60, seed=2)
    assert isinstance(person.value.age, int)
    assert person.completion.model == MODEL


async def test_a_structured_answer_that_is_cut_short_says_so(client: LocalLLMClient) -> None:
    """With what the model said, and without it in the message."""
    with pytest.raises(StructuredOutputError, match="was cut short") as caught:
        await client.structured("Make up a person.", Person, max_tokens=3, seed=2)
    assert caught.value.text.startswith("{")
    assert caught.value.text not in str(caught.value)


async def test_tools_are_called_and_told_back(client: LocalLLMClient) -> None:
    """A forced call runs the function once with arguments of the declared types."""
    seen: list[tuple[str, int]] = []

    def forecast(city: str, days: int = 1) -> str:
        """The weather in a city."""
        seen.append((city, days))
        return "sunny"

    answer = await client.run_tools(
        "How is the weather in Rome?", [forecast], tool_choice="required", max_tokens=30, seed=4
    )
    assert len(seen) == 1
    assert isinstance(seen[0][0], str)
    assert isinstance(seen[0][1], int)
    assert not answer.tool_calls


async def test_tools_that_never_end_are_ended(client: LocalLLMClient) -> None:
    """One round is not enough for a call and its answer."""

    def ping() -> str:
        """Answer."""
        return "pong"

    with pytest.raises(ToolError, match="1 rounds"):
        await client.run_tools("Ping.", [ping], tool_choice="required", max_rounds=1, max_tokens=40)


async def test_a_batch_types_its_failures(client: LocalLLMClient) -> None:
    """A prompt that cannot work fails alone."""
    prompts = ["Say one.", "word " * 5000, "Say three."]
    result = await client.complete_batch(prompts, max_tokens=4, seed=1)
    assert [outcome is not None for outcome in result.texts] == [True, False, True]
    assert isinstance(result.failures[1], ContextLengthError | InvalidRequestError)


async def test_an_ensemble_of_one_seed_agrees(client: LocalLLMClient) -> None:
    """Greedy answers are equal, so all three vote for it."""
    result = await client.ensemble("Name a colour.", [MODEL] * 3, temperature=0.0, max_tokens=4)
    assert result.votes == 3
    best = await client.ensemble("Name a colour.", [MODEL] * 3, strategy="best_of", max_tokens=4)
    assert best.winner in best.answers


async def test_tokens_models_and_health_are_told(client: LocalLLMClient) -> None:
    """As the server counts and knows them."""
    assert len(await client.tokenize("hello world")) == 2
    (model,) = await client.models()
    assert (model.id, model.context) == (MODEL, 1024)
    (health,) = await client.health()
    assert health.ready
    assert health.model_digest == DIGEST


async def test_refusals_have_their_types(client: LocalLLMClient, live: LiveServer) -> None:
    """And the server's own words, and a remedy."""
    with pytest.raises(InvalidRequestError, match="temperature") as caught:
        await client.complete_text("Hi.", temperature=5.0)
    assert caught.value.status == 400
    with pytest.raises(ContextLengthError, match="max_tokens"):
        await client.complete_text("Hi.", max_tokens=5000)
    for key in (None, "gk_000000000000_" + "0" * 64):
        async with LocalLLMClient(
            endpoints=[{"url": live.url, "model": MODEL}], **({} if key is None else {"api_key": key})
        ) as stranger:
            with pytest.raises(AuthenticationError, match="GENESIS_LLM_API_KEY"):
                await stranger.complete_text("Hi.")
    async with LocalLLMClient(endpoints=[{"url": live.url, "model": "gpt"}], api_key=live.key) as lost:
        with pytest.raises(NotFoundError, match=r"client\.models\(\)"):
            await lost.complete_text("Hi.")


async def test_a_servers_rate_limit_is_a_typed_error(live: LiveServer) -> None:
    """With the seconds it asks for; no wait that is longer than the call may take is begun."""
    key = live.keys["hurried"].text
    async with LocalLLMClient(endpoints=[{"url": live.url, "model": MODEL}], api_key=key) as client:
        await client.complete_text("Hi.", max_tokens=2)
        with pytest.raises(RateLimitedError) as caught:
            await client.complete_text("Hi.", max_tokens=2, deadline=3)
        assert caught.value.retry_after
        assert caught.value.retry_after <= 60


async def test_the_clients_own_bucket_holds_before_the_server_has_to(live: LiveServer) -> None:
    """No request leaves that would have to be refused."""
    settings = {"endpoints": [{"url": live.url, "model": MODEL}], "api_key": live.key}
    async with LocalLLMClient(**settings, requests_per_minute=2) as client:
        for _ in range(2):
            await client.complete_text("Hi.", max_tokens=1)
        started = time.monotonic()
        with pytest.raises(OwnLimitError, match="requests_per_minute"):
            await client.complete_text("Hi.", max_tokens=1, deadline=2)
        assert time.monotonic() - started < 1


async def test_a_signed_call_is_answered(live: LiveServer) -> None:
    """Where the client must sign, and a Bearer key would not do."""
    key = live.keys["signer"].text
    endpoints = [{"url": live.url, "model": MODEL}]
    async with LocalLLMClient(endpoints=endpoints, hmac_secret=key) as client:
        assert (await client.complete_text("Hi.", max_tokens=2)).text
        async with client.stream("Hi.", max_tokens=2) as stream:
            assert [chunk.text async for chunk in stream]
        assert await client.models()
    async with LocalLLMClient(endpoints=endpoints, api_key=key) as client:
        with pytest.raises(AuthenticationError):
            await client.complete_text("Hi.", max_tokens=2)


@pytest.mark.parametrize("skew", [-4000, 4000])
async def test_a_skewed_clock_is_refused_and_not_retried(skew: int, live: LiveServer) -> None:
    """A signature of another hour does not hold."""
    auth = SignatureAuth(live.keys["signer"].text, clock=lambda: time.time() + skew)
    async with httpx.AsyncClient(auth=auth) as http:
        assert (await http.get(f"{live.url}/v1/models")).status_code == 401


async def test_a_skewed_clock_is_named_in_the_error(proxy: FaultProxy, live: LiveServer) -> None:
    """Nobody finds that one by looking at keys."""
    proxy.always(Fault(headers={"date": "Mon, 01 Jan 2024 00:00:00 GMT"}))
    endpoints = [{"url": proxy.url, "model": MODEL}]
    async with LocalLLMClient(endpoints=endpoints, hmac_secret=live.key) as client:
        with pytest.raises(AuthenticationError, match=r"clock is \d+ s ahead of the server's"):
            await client.complete_text("Hi.")


async def test_a_signature_that_waited_too_long_is_made_anew(live: LiveServer) -> None:
    """Once: what queued during a restart is older than the server."""
    now = time.time()
    times = iter([now, now - 4000, now + 5, now])
    auth = SignatureAuth(live.keys["signer"].text, clock=lambda: next(times))
    async with httpx.AsyncClient(auth=auth) as http:
        assert (await http.get(f"{live.url}/v1/models")).status_code == 200


async def test_other_weights_than_declared_are_never_asked(live: LiveServer) -> None:
    """The prompt does not even leave."""
    endpoints = [{"url": live.url, "model": MODEL, "sha256": "0" * 64}]
    async with LocalLLMClient(endpoints=endpoints, api_key=live.key) as client:
        with pytest.raises(IntegrityError, match=DIGEST[:16]):
            await client.complete_text("Hi.")


async def test_a_file_is_verified(live: LiveServer) -> None:
    """Against the digest of the stack."""
    await verify_file(live.weights, DIGEST)
    with pytest.raises(IntegrityError):
        await verify_file(live.weights, "0" * 64)


async def test_a_server_without_a_named_model_is_asked_for_it(live: LiveServer) -> None:
    """An address is enough."""
    async with LocalLLMClient(live.url, api_key=live.key) as client:
        answers = await asyncio.gather(*(client.complete_text("Hi.", max_tokens=2) for _ in range(4)))
        assert {answer.model for answer in answers} == {MODEL}


async def test_a_closed_client_says_so_and_can_be_opened_again(live: LiveServer) -> None:
    """Instead of a traceback out of httpx."""
    client = LocalLLMClient(live.url, api_key=live.key)
    with pytest.raises(ClosedError, match="async with"):
        await client.complete_text("Hi.")
    for _ in range(2):
        async with client:
            assert (await client.complete_text("Hi.", max_tokens=2)).text
