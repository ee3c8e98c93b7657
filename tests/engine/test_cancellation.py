from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from waiting import eventually

from engine.running import STORY, ask, at_rest, collect, held, request, running
from genesis_stack.engine.interface import FinishReason
from genesis_stack.engine.llama import LlamaEngine

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]

LONG = "The keeper of the lighthouse wrote every evening into his book. " * 12


def phases(engine: LlamaEngine) -> list[str]:
    """What the live sequences are doing, oldest first."""
    return [slot.phase for slot in engine.stats().slots]


async def test_one_who_streams_can_leave(small: LlamaEngine) -> None:
    """The others go on, and the one gets what it has with the reason."""
    staying = asyncio.create_task(ask(small, STORY, max_tokens=16, ignore_eos=True))
    leaving = request(small, STORY, max_tokens=200, ignore_eos=True)
    stream = await small.submit(leaving)
    await anext(stream)
    small.cancel(leaving.request_id)
    answer = await collect(stream)
    assert answer.finish is FinishReason.CANCELLED
    assert answer.usage.completion_tokens < 200
    assert len((await staying).tokens) == 16
    await at_rest(small)


async def test_one_who_waits_can_leave(small: LlamaEngine) -> None:
    """A request that never had a slot ends without a token."""
    running = [asyncio.create_task(ask(small, [100 + n], max_tokens=40, ignore_eos=True)) for n in range(8)]
    await eventually(lambda: len(phases(small)) == 8)
    waiting = request(small, STORY)
    stream = await small.submit(waiting)
    assert small.stats().requests_waiting == 1
    small.cancel(waiting.request_id)
    answer = await collect(stream)
    assert (answer.finish, answer.usage.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert (answer.timings.prefill, answer.timings.decode) == (0.0, 0.0)
    for task in running:
        assert len((await task).tokens) == 40
    await at_rest(small)


@pytest_asyncio.fixture(loop_scope="session")
async def stepwise(smollm2: Path) -> AsyncGenerator[LlamaEngine]:
    """An engine that takes several steps for a prompt."""
    async with running(smollm2, batch=32) as engine:
        yield engine
        await at_rest(engine)


async def test_one_whose_prompt_is_being_computed_can_leave(stepwise: LlamaEngine) -> None:
    """What was computed until then is kept for the next one."""
    leaving = request(stepwise, LONG)
    with held(stepwise) as gate:
        stream = await stepwise.submit(leaving)
        await gate.arrival()
        await gate.step()
        assert phases(stepwise) == ["prefill"]
        stepwise.cancel(leaving.request_id)
    answer = await collect(stream)
    assert (answer.finish, answer.usage.completion_tokens) == (FinishReason.CANCELLED, 0)
    assert (await ask(stepwise, LONG)).usage.cached_tokens >= 32


async def test_a_follower_can_leave(stepwise: LlamaEngine) -> None:
    """The one that computes the shared prefix, and the other who waits for it, get on."""
    leader, follower, other = (request(stepwise, f"{LONG} {n}", max_tokens=4) for n in range(3))
    with held(stepwise) as gate:
        streams = [await stepwise.submit(r) for r in (leader, follower, other)]
        await gate.arrival()
        await gate.step()
        assert phases(stepwise) == ["prefill", "following", "following"]
        stepwise.cancel(follower.request_id)
    answers = [await collect(stream) for stream in streams]
    assert [answer.finish is FinishReason.CANCELLED for answer in answers] == [False, True, False]
    assert answers[2].usage.cached_tokens > 100


async def test_a_leader_can_leave(stepwise: LlamaEngine) -> None:
    """One of those who waited for its prefix takes over, and the rest follow that one."""
    requests = [request(stepwise, f"{LONG} {n}", max_tokens=4) for n in range(4)]
    with held(stepwise) as gate:
        streams = [await stepwise.submit(r) for r in requests]
        await gate.arrival()
        await gate.step()
        assert phases(stepwise) == ["prefill", *["following"] * 3]
        stepwise.cancel(requests[0].request_id)
        await gate.step()
        assert phases(stepwise) == ["prefill", *["following"] * 2]
    answers = [await collect(stream) for stream in streams]
    assert answers[0].finish is FinishReason.CANCELLED
    assert all(answer.finish is not FinishReason.CANCELLED for answer in answers[1:])
    assert answers[1].usage.cached_tokens >= 32  # what the leader had computed
    assert all(answer.usage.cached_tokens > 100 for answer in answers[2:])


async def test_all_choices_leave_together(small: LlamaEngine) -> None:
    """Cancelling a request of several choices ends each of them, and the usage comes once."""
    several = request(small, STORY, n=3, max_tokens=200, ignore_eos=True, temperature=1.0)
    stream = await small.submit(several)
    await anext(stream)
    small.cancel(several.request_id)
    answer = await collect(stream)
    assert [choice.finish for choice in answer.choices] == [FinishReason.CANCELLED] * 3
    await at_rest(small)


async def test_a_closed_stream_is_a_cancelled_request(small: LlamaEngine) -> None:
    """Closing is idempotent, and ends the iteration."""
    before = small.stats().requests_finished_total["cancelled"]
    stream = await small.submit(request(small, STORY, max_tokens=200, ignore_eos=True))
    await anext(stream)
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await at_rest(small)
    assert small.stats().requests_finished_total["cancelled"] == before + 1


async def test_a_reader_that_is_cancelled_cancels_its_request(small: LlamaEngine) -> None:
    """As it happens when a client disconnects."""
    before = small.stats().requests_finished_total["cancelled"]
    task = asyncio.create_task(ask(small, STORY, max_tokens=200, ignore_eos=True))
    await eventually(lambda: phases(small) == ["decode"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await at_rest(small)
    assert small.stats().requests_finished_total["cancelled"] == before + 1


async def test_a_stream_that_nobody_holds_is_a_cancelled_request(small: LlamaEngine) -> None:
    """Dropped without a word, read or unread."""
    before = small.stats().requests_finished_total["cancelled"]
    stream = await small.submit(request(small, STORY, max_tokens=200, ignore_eos=True))
    del stream
    stream = await small.submit(request(small, STORY, max_tokens=200, ignore_eos=True))
    await anext(stream)
    del stream
    await at_rest(small)
    assert small.stats().requests_finished_total["cancelled"] == before + 2


async def test_unknown_and_finished_requests_are_ignored(small: LlamaEngine) -> None:
    """There is nothing to cancel."""
    done = request(small, STORY)
    await collect(await small.submit(done))
    small.cancel(done.request_id)
    small.cancel("never heard of it")
    assert len((await ask(small, STORY)).tokens) == 8


async def test_random_departures_leave_nothing_behind(small: LlamaEngine) -> None:
    """Two hundred clients that leave at any moment: slots, cells, threads and tasks are as before."""
    dice = random.Random(4)
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()

    async def client(number: int) -> None:
        prompt = f"{LONG[: dice.choice([40, 120, 400])]} {number % 5}"
        asked = request(small, prompt, max_tokens=30, n=dice.choice([1, 1, 2]), client=f"c{number % 7}")
        stream = await small.submit(asked)
        for _ in range(dice.randrange(4)):
            await anext(stream)
        match dice.randrange(3):
            case 0:
                small.cancel(asked.request_id)
                await collect(stream)
            case 1:
                await stream.aclose()
            case _:
                del stream

    async def clients(numbers: range) -> None:
        for number in numbers:
            await client(number)

    await asyncio.gather(*(clients(range(first, 200, 20)) for first in range(20)))
    await at_rest(small)
    assert len(asyncio.all_tasks()) == tasks
    assert threading.active_count() <= threads
    assert len((await ask(small, STORY)).tokens) == 8
