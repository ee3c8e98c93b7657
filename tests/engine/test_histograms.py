"""Where the time of a request went is counted once, for the phases that it reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from waiting import eventually

from engine.running import ask, at_rest, held, request, running
from genesis_stack.engine.histogram import Histogram
from genesis_stack.engine.interface import Distribution, EngineStats

STEADY = {"max_tokens": 12, "ignore_eos": True}


def counts(stats: EngineStats) -> tuple[int, ...]:
    """Observations of queue, prefill, decode and tokens."""
    seen = (stats.queue_times, stats.prefill_times, stats.decode_times, stats.inter_token_times)
    return tuple(sum(distribution.counts) for distribution in seen)


def test_bounds_are_inclusive() -> None:
    """As Prometheus wants its buckets; what exceeds all of them is counted too."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.5):
        histogram.observe(value)
    assert histogram.read() == Distribution((1.0, 2.0), (2, 1, 1), 5.5)


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="session")
async def test_every_token_after_the_first_has_a_latency(smollm2: Path) -> None:
    """Of each choice; and their sum is what the request's decode took."""
    async with running(smollm2) as engine:
        answer = await ask(engine, "The sea", n=2, **STEADY)
        stats = engine.stats()
    assert counts(stats) == (1, 1, 1, 22)
    assert stats.decode_times.sum == answer.timings.decode
    assert 0 < stats.inter_token_times.sum <= 2 * answer.timings.decode


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="session")
async def test_who_never_left_the_queue_has_only_waited(smollm2: Path) -> None:
    """A full queue shows in the queue's histogram, not in those of phases that did not happen."""
    async with running(smollm2, parallel=1) as engine:
        holder = await engine.submit(request(engine, "The sea", max_tokens=100, ignore_eos=True))
        await eventually(lambda: engine.stats().requests_running == 1)
        waiter = await engine.submit(request(engine, "The town", **STEADY))
        await waiter.aclose()
        await eventually(lambda: counts(engine.stats())[0] == 1)
        assert counts(engine.stats())[1:3] == (0, 0)
        await holder.aclose()
        await at_rest(engine)


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="session")
async def test_figures_do_not_wait_for_the_engine(smollm2: Path) -> None:
    """While its thread stands in a step that takes for ever, the others see how things are."""
    async with running(smollm2) as engine:
        with held(engine) as gate:
            stream = await engine.submit(request(engine, "The sea", **STEADY))
            await gate.arrival()
            assert engine.stats().requests_running == 1
        await stream.aclose()
        await at_rest(engine)
