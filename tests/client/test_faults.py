"""Each fault between the client and a real server with a real model."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from waiting import eventually

from client.fault_proxy import Fault, FaultProxy
from client.live_server import MODEL, LiveServer
from genesis_stack.client import (
    CircuitOpenError,
    ConnectionFailedError,
    DeadlineExceededError,
    LocalLLMClient,
    LocalLLMError,
    OverloadedError,
    StreamInterruptedError,
    UnavailableError,
)

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("nothing_leaks")]

QUICK: dict[str, Any] = {"initial": 0.01, "cap": 0.05}

ON: dict[str, Any] = {"ignore_eos": True}  # the answer goes on to its limit


def client_of(proxy: FaultProxy, live: LiveServer, **settings: Any) -> LocalLLMClient:
    """A client of the proxied server that does not wait long between attempts."""
    endpoints = [{"url": proxy.url, "model": MODEL}]
    return LocalLLMClient(**{"endpoints": endpoints, "api_key": live.key, "retry": QUICK, **settings})


async def _read(client: LocalLLMClient, prompt: str, texts: list[str], **options: Any) -> None:
    """Stream an answer into `texts`."""
    async with client.stream(prompt, **options) as stream:
        async for chunk in stream:
            texts.append(chunk.text)  # noqa: PERF401 -- what came before a failure counts


async def _ask(client: LocalLLMClient, *, streamed: bool) -> None:
    """One question with half a second's time."""
    if streamed:
        await _read(client, "Hi.", [], max_tokens=8, deadline=0.5)
    else:
        await client.complete_text("Hi.", max_tokens=8, deadline=0.5)


async def _generations(live: LiveServer) -> int:
    """How many generations the server has begun, by its own count of requests."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {live.key}"}) as http:
        text = (await http.get(f"{live.url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("genesis_http_requests_total{")]
    return sum(int(float(line.split()[-1])) for line in lines if "/v1/chat/completions" in line)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset_after=0),
        Fault(reset_after=40),
        Fault(cut_after=0),
        Fault(cut_after=300),
        Fault(status=500),
        Fault(status=502),
        Fault(status=503),
        Fault(status=503, headers={"retry-after": "1000000000"}),
        Fault(status=429, headers={"retry-after": "1e9"}),
    ],
    ids=str,
)
async def test_two_faults_are_survived_by_the_third_attempt(
    fault: Fault, proxy: FaultProxy, live: LiveServer
) -> None:
    """A call is answered as if nothing had been, and says how many attempts it took."""
    proxy.first(fault, fault)
    async with client_of(proxy, live) as client:
        answer = await client.complete_text("Hi.", max_tokens=4, extra=ON)
        assert answer.usage.completion_tokens == 4
        assert answer.origin.attempts == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(silent=True),
        Fault(latency=60),
        Fault(slow=0.2),
        Fault(stall_after=100),
        Fault(status=503, headers={"retry-after": "1000000000"}),
        Fault(status=429, headers={"retry-after": "Fri, 01 Jan 2999 00:00:00 GMT"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_nothing_hangs_beyond_the_deadline(
    fault: Fault, streamed: bool, proxy: FaultProxy, live: LiveServer
) -> None:
    """A typed error in time: silence, dripping bytes and absurd wishes are no reason to wait."""
    proxy.always(fault)
    async with client_of(proxy, live, retry={"attempts": 3, "initial": 0.01, "cap": 60}) as client:
        started = time.monotonic()
        with pytest.raises((UnavailableError, StreamInterruptedError)):
            await _ask(client, streamed=streamed)
        assert time.monotonic() - started < 1


async def test_latency_within_the_deadline_is_only_latency(proxy: FaultProxy, live: LiveServer) -> None:
    """One attempt, and a late answer."""
    proxy.always(Fault(latency=0.3))
    async with client_of(proxy, live) as client:
        answer = await client.complete_text("Hi.", max_tokens=4)
        assert answer.origin.attempts == 1
        assert answer.timings.total_ms >= 300


@pytest.mark.parametrize("fault", [Fault(reset_after=1500), Fault(cut_after=1500)], ids=str)
async def test_after_tokens_were_delivered_nothing_is_generated_again(
    fault: Fault, proxy: FaultProxy, live: LiveServer
) -> None:
    """The caller has the beginning; a second one would say it twice. What came is in the error."""
    proxy.always(fault)
    before = await _generations(live)
    texts: list[str] = []
    async with client_of(proxy, live) as client:
        with pytest.raises(StreamInterruptedError) as caught:
            await _read(client, "Tell me a long story.", texts, max_tokens=200, seed=1)
    assert texts
    assert caught.value.partial.text.startswith("".join(texts))
    assert proxy.forwarded == 1

    async def counted() -> bool:
        return await _generations(live) > before

    await eventually(counted, pause=0.02)
    assert await _generations(live) == before + 1


async def test_a_stream_that_breaks_before_its_first_token_is_sent_again(
    proxy: FaultProxy, live: LiveServer
) -> None:
    """Nobody has seen anything of it yet."""
    proxy.first(Fault(cut_after=0), Fault(reset_after=60))
    async with client_of(proxy, live) as client, client.stream("Hi.", max_tokens=4, extra=ON) as stream:
        assert "".join([chunk.text async for chunk in stream]) == stream.result.text
        assert stream.result.origin.attempts == 3
        assert stream.result.usage.completion_tokens == 4


async def test_a_stream_that_falls_silent_is_given_up(proxy: FaultProxy, live: LiveServer) -> None:
    """After between_tokens seconds, long before the deadline."""
    proxy.always(Fault(stall_after=1500))
    started = time.monotonic()
    async with client_of(proxy, live, timeouts={"between_tokens": 0.5}) as client:
        with pytest.raises(StreamInterruptedError, match=r"sent nothing for 0\.5 s"):
            await _read(client, "Tell me a long story.", [], max_tokens=200)
    assert time.monotonic() - started < 10


async def test_alternating_500_and_503_open_the_breaker_at_the_fifth(
    proxy: FaultProxy, live: LiveServer
) -> None:
    """From then on nobody is asked, until one probe after open_for seconds finds the server well."""
    proxy.around(Fault(status=500), Fault(status=503))
    breaker = {"failures": 5, "open_for": 0.6}
    async with client_of(proxy, live, retry={"attempts": 1}, breaker=breaker) as client:
        for _ in range(5):
            with pytest.raises(UnavailableError) as caught:
                await client.complete_text("Hi.", max_tokens=2)
            assert not isinstance(caught.value, CircuitOpenError)
        with pytest.raises(CircuitOpenError) as opened:
            await client.complete_text("Hi.", max_tokens=2)
        assert opened.value.retry_after == pytest.approx(0.6, abs=0.2)
        assert proxy.forwarded == 0
        proxy.first()
        await asyncio.sleep(opened.value.retry_after)
        answers = await asyncio.gather(
            *(client.complete_text("Hi.", max_tokens=2) for _ in range(4)), return_exceptions=True
        )
        assert proxy.forwarded == 1
        assert sorted(type(answer).__name__ for answer in answers) == ["CircuitOpenError"] * 3 + [
            "Completion"
        ]
        assert (await client.complete_text("Hi.", max_tokens=2)).text


async def test_refusals_never_open_the_breaker(proxy: FaultProxy, live: LiveServer) -> None:
    """However many bad requests there are, they are the client's fault."""
    async with client_of(proxy, live, breaker={"failures": 1}) as client:
        for _ in range(10):
            with pytest.raises(LocalLLMError, match="temperature"):
                await client.complete_text("Hi.", temperature=9.0)
        assert (await client.complete_text("Hi.", max_tokens=2)).text


async def test_no_one_listens_and_no_one_hangs(live: LiveServer) -> None:
    """A refused connection is a typed error after three attempts."""
    endpoints = [{"url": "http://127.0.0.1:9", "model": MODEL}]
    async with LocalLLMClient(endpoints=endpoints, api_key=live.key, retry=QUICK) as client:
        with pytest.raises(ConnectionFailedError, match="genesis-stack status"):
            await client.complete_text("Hi.")


async def test_a_cancelled_call_leaves_nothing_and_the_client_works_on(
    proxy: FaultProxy, live: LiveServer
) -> None:
    """In the middle of a call and in the middle of a stream; the server is told by the closed connection."""
    async with client_of(proxy, live, breaker={"failures": 1}) as client:
        call = asyncio.create_task(client.complete_text("Tell me a long story.", max_tokens=500))
        await eventually(lambda: proxy.forwarded)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with client.stream("Tell me a long story.", max_tokens=500) as stream:
            async for _ in stream:
                break
        assert (await client.complete_text("Hi.", max_tokens=2)).text


async def test_a_deadline_covers_waiting_for_the_next_attempt(proxy: FaultProxy, live: LiveServer) -> None:
    """A wait that would end after it is not begun."""
    proxy.always(Fault(status=503, headers={"retry-after": "30"}))
    async with client_of(proxy, live, retry={"attempts": 9, "cap": 60}) as client:
        started = time.monotonic()
        with pytest.raises(OverloadedError) as caught:
            await client.complete_text("Hi.", deadline=2)
        assert caught.value.retry_after == 30
        assert time.monotonic() - started < 1


async def test_the_deadline_error_is_not_retried(proxy: FaultProxy, live: LiveServer) -> None:
    """Time that is up does not come back."""
    proxy.always(Fault(silent=True))
    async with client_of(proxy, live) as client:
        with pytest.raises(DeadlineExceededError):
            await client.complete_text("Hi.", deadline=0.3)
