from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from waiting import eventually

from engine.running import STORY, Answer, ask, at_rest, collect, request, running
from genesis_stack.engine.interface import (
    EngineUnavailableError,
    FinishReason,
    InvalidRequestError,
    QueueFullError,
)
from genesis_stack.engine.llama import LlamaEngine

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def narrow(smollm2: Path) -> AsyncGenerator[LlamaEngine]:
    """One slot, and two requests or 60 prompt tokens may wait."""
    async with running(smollm2, parallel=1, queue_requests=2, queue_tokens=60) as engine:
        yield engine
        await at_rest(engine)


def holding(engine: LlamaEngine) -> asyncio.Task[Answer]:
    """Someone who holds the slot."""
    return asyncio.create_task(ask(engine, STORY, max_tokens=60, ignore_eos=True))


async def test_the_queue_is_bounded_by_requests(narrow: LlamaEngine) -> None:
    """Beyond it one is told when to come back; those who wait are served in their turn."""
    holder = holding(narrow)
    await eventually(lambda: narrow.stats().requests_running == 1)
    waiting = [await narrow.submit(request(narrow, [200 + n], max_tokens=2)) for n in range(2)]
    assert narrow.stats().requests_waiting == 2
    with pytest.raises(QueueFullError) as refused:
        await narrow.submit(request(narrow, STORY))
    assert refused.value.retry_after >= 1
    assert len((await holder).tokens) == 60
    for stream in waiting:
        assert (await collect(stream)).usage.completion_tokens == 2


async def test_the_queue_is_bounded_by_prompt_tokens(narrow: LlamaEngine) -> None:
    """One long prompt fills it as well as many short ones."""
    holder = holding(narrow)
    await eventually(lambda: narrow.stats().requests_running == 1)
    stream = await narrow.submit(request(narrow, [200] * 50, max_tokens=2))
    with pytest.raises(QueueFullError):
        await narrow.submit(request(narrow, [200] * 20, max_tokens=2))
    assert narrow.stats().waiting_prompt_tokens == 50
    await stream.aclose()
    await holder


async def test_a_prompt_that_the_queue_can_never_take_is_invalid(narrow: LlamaEngine) -> None:
    """Coming back later would not help."""
    with pytest.raises(InvalidRequestError):
        await narrow.submit(request(narrow, [200] * 61, max_tokens=2))


async def test_a_deadline_ends_a_running_request(narrow: LlamaEngine) -> None:
    """What was said until then comes with it."""
    answer = await ask(narrow, STORY, max_tokens=None, ignore_eos=True, timeout=0.3)
    assert answer.finish is FinishReason.TIMEOUT
    assert 0 < answer.usage.completion_tokens < 200


async def test_a_deadline_ends_a_waiting_request(narrow: LlamaEngine) -> None:
    """Queueing counts; the others are not touched."""
    holder = holding(narrow)
    await eventually(lambda: narrow.stats().requests_running == 1)
    answer = await ask(narrow, STORY, timeout=0.02)
    assert (answer.finish, answer.usage.completion_tokens) == (FinishReason.TIMEOUT, 0)
    assert len((await holder).tokens) == 60


async def test_a_flood_of_one_client_does_not_starve_another(smollm2: Path) -> None:
    """Who comes last with one request is served among the first of the flood."""
    async with running(smollm2, parallel=1) as engine:
        order: list[str] = []

        async def asking(client: str, number: int) -> None:
            await ask(engine, [200 + number], client=client, max_tokens=3, ignore_eos=True)
            order.append(client)

        flood = [asyncio.create_task(asking("flood", number)) for number in range(12)]
        await eventually(lambda: engine.stats().requests_waiting > 8)
        await asking("single", 99)
        await asyncio.gather(*flood)
        assert order.index("single") <= 5
        await at_rest(engine)


async def test_a_request_id_is_used_once_at_a_time(small: LlamaEngine) -> None:
    """Else cancelling one would cancel the other."""
    first = request(small, STORY, max_tokens=200)
    stream = await small.submit(first)
    with pytest.raises(InvalidRequestError):
        await small.submit(first)
    await stream.aclose()


async def test_nothing_is_taken_before_the_start(smollm2: Path) -> None:
    """Who comes too early is told so."""
    async with running(smollm2) as ready:
        early = LlamaEngine(ready._config)
        for refused in (early.submit(request(ready, STORY)), early.embed([[1]])):
            with pytest.raises(EngineUnavailableError) as error:
                await refused
            assert error.value.retry_after > 0
        with pytest.raises(EngineUnavailableError):
            early.tokenize("text", add_special=True, parse_special=True)
        with pytest.raises(EngineUnavailableError):
            _ = early.info
        assert early.stats().kv_cells == 0
