from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import eventually

from engine.running import STORY, ask, at_rest, collect, request, running
from genesis_stack.engine.context import Context, DecodeError
from genesis_stack.engine.interface import EngineError, EngineState, EngineUnavailableError, FinishReason
from genesis_stack.engine.llama import LlamaEngine

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]


def before_decode(monkeypatch: pytest.MonkeyPatch, engine: LlamaEngine, act: Callable[[], None]) -> None:
    """Let `act` happen in place of, or ahead of, every following `llama_decode`."""
    assert engine._worker is not None
    context = engine._worker.context
    decode = context.decode

    def acting() -> None:
        act()
        decode()

    monkeypatch.setattr(context, "decode", acting)


async def test_when_llama_cpp_fails_all_readers_are_told(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running and waiting ones get an end, later ones a refusal; nobody waits for ever."""
    async with running(smollm2, parallel=1) as engine:
        streams = [await engine.submit(request(engine, STORY, max_tokens=100)) for _ in range(3)]
        await anext(streams[0])

        def fail() -> None:
            raise DecodeError(-3)

        before_decode(monkeypatch, engine, fail)
        answers = await asyncio.wait_for(asyncio.gather(*map(collect, streams)), 30)
        assert [answer.finish for answer in answers] == [FinishReason.ERROR] * 3
        assert engine.stats().state is EngineState.FAILED
        assert engine.stats().requests_finished_total["error"] == 3
        for refused in (ask(engine, STORY), engine.embed([[1]])):
            with pytest.raises(EngineUnavailableError):
                await refused
        with pytest.raises(EngineUnavailableError):
            engine.tokenize("text", add_special=True, parse_special=True)
        await engine.drain(1.0)
        assert engine.stats().state is EngineState.FAILED


async def test_a_request_that_comes_while_the_engine_fails_is_told_too(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted, so it gets an end."""
    async with running(smollm2) as engine:
        reached, proceed = threading.Event(), threading.Event()

        def fail_later() -> None:
            reached.set()
            proceed.wait(30)
            raise DecodeError(-3)

        before_decode(monkeypatch, engine, fail_later)
        first = await engine.submit(request(engine, STORY))
        await asyncio.to_thread(reached.wait, 30)
        second = await engine.submit(request(engine, STORY))
        proceed.set()
        answers = await asyncio.wait_for(asyncio.gather(collect(first), collect(second)), 30)
        assert [answer.finish for answer in answers] == [FinishReason.ERROR] * 2


async def test_without_free_cells_the_cache_makes_room(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp may find no cells although there are enough; then finished texts have to go."""
    async with running(smollm2) as engine:
        await ask(engine, STORY)
        expected = await ask(engine, "Water boils at", ignore_eos=True)
        statuses = iter([1])

        def full_once() -> None:
            for status in statuses:
                raise DecodeError(status)

        before_decode(monkeypatch, engine, full_once)
        answer = await ask(engine, "Water freezes at", ignore_eos=True)
        assert len(answer.tokens) == len(expected.tokens)
        assert engine.stats().state is EngineState.READY
        await at_rest(engine)


async def test_the_heart_beats_when_idle_and_when_busy(small: LlamaEngine) -> None:
    """A watchdog sees that the loop turns."""
    beat = small.heartbeat()
    await eventually(lambda: small.heartbeat() > beat, seconds=5)
    stream = await small.submit(request(small, STORY, max_tokens=100, ignore_eos=True))
    await anext(stream)
    beat = small.heartbeat()
    await eventually(lambda: small.heartbeat() > beat, seconds=5)
    assert small.stats().requests_running == 1
    await stream.aclose()


async def test_the_heart_stands_still_while_a_step_hangs(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And everything else still answers meanwhile."""
    async with running(smollm2) as engine:
        hung, go_on = threading.Event(), threading.Event()

        def hang() -> None:
            hung.set()
            go_on.wait(30)

        before_decode(monkeypatch, engine, hang)
        task = asyncio.create_task(ask(engine, STORY, max_tokens=4))
        await asyncio.to_thread(hung.wait, 30)
        beat = engine.heartbeat()
        with pytest.raises(TimeoutError):
            await eventually(lambda: engine.heartbeat() > beat, seconds=1.5)
        assert engine.stats().requests_running == 1
        assert engine.tokenize("text", add_special=False, parse_special=False)
        go_on.set()
        assert len((await task).tokens) == 4
        assert engine.heartbeat() > beat


async def test_draining_finishes_what_was_accepted(smollm2: Path) -> None:
    """Running and waiting requests end as they would have; new ones are refused."""
    async with running(smollm2, parallel=2) as engine:
        streams = [
            await engine.submit(request(engine, [200 + n], max_tokens=6, ignore_eos=True)) for n in range(5)
        ]
        drain = asyncio.create_task(engine.drain(60.0))
        await eventually(lambda: engine.stats().state is EngineState.DRAINING)
        with pytest.raises(EngineUnavailableError):
            await engine.submit(request(engine, STORY))
        answers = await asyncio.gather(*map(collect, streams))
        assert [len(answer.tokens) for answer in answers] == [6] * 5
        await drain
        assert engine.stats().state is EngineState.STOPPED


async def test_draining_ends_in_time(smollm2: Path) -> None:
    """What is not done by then is cancelled, and told so."""
    async with running(smollm2, parallel=1) as engine:
        streams = [
            await engine.submit(request(engine, STORY, max_tokens=None, ignore_eos=True)) for _ in range(3)
        ]
        await anext(streams[0])
        await asyncio.wait_for(engine.drain(0.1), 30)
        answers = await asyncio.gather(*map(collect, streams))
        assert [answer.finish for answer in answers] == [FinishReason.CANCELLED] * 3


async def test_a_stopped_engine_refuses_and_stays_stopped(smollm2: Path) -> None:
    """Its weights are gone: nothing may reach for them."""
    async with running(smollm2) as engine:
        pass
    await engine.drain(1.0)
    assert engine.stats().state is EngineState.STOPPED
    for call in (
        lambda: engine.info,
        lambda: engine.tokenize("text", add_special=True, parse_special=True),
        lambda: engine.detokenize([1]),
    ):
        with pytest.raises(EngineUnavailableError):
            call()
    engine.cancel("nobody")
    assert engine.stats().slots == ()


async def test_an_idle_engine_drains_at_once(smollm2: Path) -> None:
    """There is nothing to wait for."""
    async with running(smollm2) as engine:
        await asyncio.wait_for(engine.drain(3600.0), 30)
        assert engine.stats().state is EngineState.STOPPED


async def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    """And no crash."""
    path = tmp_path / "model.gguf"
    for content in (b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(EngineError):
            async with running(path):
                pass


async def test_a_context_that_cannot_be_had_is_an_error(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails while loading reaches the starter."""

    def refuse(*_: object, **__: object) -> None:
        raise EngineError("llama.cpp cannot allocate")

    monkeypatch.setattr(Context, "__init__", refuse)
    with pytest.raises(EngineError, match="cannot allocate"):
        async with running(smollm2):
            pass
