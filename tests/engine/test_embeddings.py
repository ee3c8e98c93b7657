from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import PoolingType
from waiting import eventually

from engine.running import ask, running
from engine.synthetic import CONTEXT, WIDTH, write_decoder, write_encoder
from genesis_stack.engine.embedder import Embedder
from genesis_stack.engine.interface import (
    EngineError,
    EngineState,
    EngineUnavailableError,
    InvalidRequestError,
)
from genesis_stack.engine.llama import LlamaEngine
from genesis_stack.protocol.serve_config import Task

MODELS: list[tuple[Callable[[Path, PoolingType], Path], PoolingType]] = [
    (write_encoder, PoolingType.MEAN),
    (write_encoder, PoolingType.CLS),
    (write_decoder, PoolingType.LAST),
]
pooled = pytest.mark.parametrize(("write", "pooling"), MODELS, ids=["mean", "cls", "last"])


async def vectors(engine: LlamaEngine, *texts: str) -> list[list[float]]:
    """The embeddings of texts."""
    return await engine.embed(
        [engine.tokenize(text, add_special=True, parse_special=False) for text in texts]
    )


@pooled
async def test_embeddings_are_unit_vectors_of_their_text(
    tmp_path: Path, write: Callable[[Path, PoolingType], Path], pooling: PoolingType
) -> None:
    """Same text, same vector, whoever else is embedded; other text, other vector; length one."""
    async with running(write(tmp_path / "model.gguf", pooling), task="embedding", context=CONTEXT) as engine:
        assert engine.info.pooling == pooling.name.lower()
        first, other, again = await vectors(engine, "a lighthouse", "two ships", "a lighthouse")
        (alone,) = await vectors(engine, "a lighthouse")
        assert len(first) == engine.info.n_embd == WIDTH
        for vector in (first, other):
            assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-6)
        assert first == pytest.approx(again, abs=1e-6)
        assert first == pytest.approx(alone, abs=1e-6)
        assert sum(a * b for a, b in zip(first, other, strict=True)) < 0.999


async def test_documents_are_ranked_by_a_models_head(tmp_path: Path) -> None:
    """Each with the query, whoever else is ranked: 0 to 1, the same for the same, its tokens counted."""
    weights = write_encoder(tmp_path / "model.gguf", PoolingType.RANK)
    async with running(weights, task="rerank", context=CONTEXT) as engine:
        documents = ["a lighthouse", "two ships", "a lighthouse"]
        ranking = await engine.rank("light", documents)
        assert ranking.scores[0] == pytest.approx(ranking.scores[2], abs=1e-6)
        assert ranking.scores[0] != pytest.approx(ranking.scores[1], abs=1e-6)
        assert all(0 < score < 1 for score in ranking.scores)
        assert (await engine.rank("ships", documents[:1])).scores[0] != pytest.approx(ranking.scores[0])
        alone = [(await engine.rank("light", [document])) for document in documents]
        assert [one.scores[0] for one in alone] == pytest.approx(ranking.scores, abs=1e-6)
        assert sum(one.tokens for one in alone) == ranking.tokens


async def test_embeddings_rank_by_their_angle(tmp_path: Path) -> None:
    """The query itself comes first."""
    weights = write_encoder(tmp_path / "model.gguf", PoolingType.MEAN)
    async with running(weights, task="embedding", context=CONTEXT) as engine:
        scores = (await engine.rank("two ships", ["a lighthouse", "two ships"])).scores
        assert scores[1] == pytest.approx(1.0, abs=1e-5)
        assert 0 <= scores[0] < scores[1]


@pytest.mark.parametrize(("pooling", "task"), [(PoolingType.RANK, "embedding"), (PoolingType.MEAN, "rerank")])
async def test_a_model_declared_for_the_other_task_does_not_start(
    tmp_path: Path, pooling: PoolingType, task: Task
) -> None:
    """It says for which it is."""
    weights = write_encoder(tmp_path / "model.gguf", pooling)
    with pytest.raises(EngineError, match="has the task"):
        async with running(weights, task=task, context=CONTEXT):
            pass


@pooled
async def test_inputs_of_any_length_fit_up_to_the_context(
    tmp_path: Path, write: Callable[[Path, PoolingType], Path], pooling: PoolingType
) -> None:
    """Longer than it was trained for, empty, or unknown tokens: refused before anything is computed."""
    weights = write(tmp_path / "model.gguf", pooling)
    async with running(weights, task="embedding", context=2 * CONTEXT) as engine:
        (vector,) = await engine.embed([[7] * CONTEXT])
        assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-6)
        for bad in ([7] * (CONTEXT + 1), [], [-1], [10_000]):
            with pytest.raises(InvalidRequestError) as refused:
                await engine.embed([[7], bad])
            assert refused.value.param == "input"
        assert await engine.embed([]) == []


async def test_an_embedding_model_does_not_generate(tmp_path: Path) -> None:
    """It says so."""
    weights = write_encoder(tmp_path / "model.gguf", PoolingType.MEAN)
    async with running(weights, task="embedding", context=CONTEXT) as engine:
        with pytest.raises(InvalidRequestError) as refused:
            await ask(engine, [7])
        assert refused.value.param == "model"


async def test_a_model_without_pooling_cannot_be_served_for_embeddings(tmp_path: Path) -> None:
    """Better at the start than at the first request."""
    weights = write_decoder(tmp_path / "model.gguf", None)
    with pytest.raises(EngineError, match="pooling"):
        async with running(weights, task="embedding", context=CONTEXT):
            pass


async def test_a_text_model_does_not_embed(tmp_path: Path) -> None:
    """It says so."""
    async with running(write_decoder(tmp_path / "model.gguf", None), context=64) as engine:
        with pytest.raises(InvalidRequestError) as refused:
            await engine.embed([[7]])
        assert refused.value.param == "model"


async def test_who_no_longer_waits_is_not_computed_for(tmp_path: Path) -> None:
    """A client that leaves takes its inputs with it, and the engine goes on."""
    weights = write_encoder(tmp_path / "model.gguf", PoolingType.MEAN)
    async with running(weights, task="embedding", context=CONTEXT) as engine:
        task = asyncio.create_task(engine.embed([[7] * CONTEXT] * 200))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await engine.embed([[7]])) == 1
        assert engine.stats().state is EngineState.READY


async def test_inputs_that_come_after_the_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine drained while they were checked, and saves its cache now: nobody would compute them."""
    weights = write_encoder(tmp_path / "model.gguf", PoolingType.MEAN)
    async with running(weights, task="embedding", context=CONTEXT) as engine:
        worker, drained, go_on = engine._worker, threading.Event(), threading.Event()
        assert worker is not None

        def save() -> None:
            drained.set()
            go_on.wait(30)

        def check(*_: object) -> None:
            worker.drain(0.0)
            drained.wait(30)

        monkeypatch.setattr(worker, "_save_prefixes", save)
        monkeypatch.setattr(Embedder, "check", check)
        with pytest.raises(EngineUnavailableError):
            await asyncio.wait_for(engine.embed([[7], [8]]), 10)
        go_on.set()


async def test_when_the_engine_fails_all_inputs_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that it failed at, and those that waited behind it."""
    weights = write_encoder(tmp_path / "model.gguf", PoolingType.MEAN)
    async with running(weights, task="embedding", context=CONTEXT) as engine:
        worker, posted = engine._worker, threading.Event()
        assert worker is not None

        def hold() -> None:
            posted.wait(30)

        worker.post(hold)
        monkeypatch.setattr(Embedder, "embed", lambda *_: 1 // 0)
        asked = [asyncio.create_task(engine.embed([[token]])) for token in range(3)]
        await eventually(lambda: len(worker._inbox) == 3)
        posted.set()
        told = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
        assert [type(one) for one in told] == [ZeroDivisionError] * 3
        await eventually(lambda: engine.state is EngineState.FAILED)
