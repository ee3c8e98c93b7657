"""A real engine over a real model, and what tests ask of it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import (
    ChosenLogprob,
    Delta,
    FinishReason,
    GenerationRequest,
    GenerationStream,
    ImageSpan,
    SamplingParams,
    Timings,
    Token,
    Usage,
)
from genesis_stack.engine.llama import LlamaEngine
from genesis_stack.protocol.serve_config import (
    AdapterRef,
    AuditConfig,
    BudgetConfig,
    EngineConfig,
    FileRef,
    GuardConfig,
    LimitsConfig,
    ListenConfig,
    LogsConfig,
    ServeConfig,
    Task,
)
from genesis_stack.render.http import http_config
from genesis_stack.spec.http import Http

ENGINE = EngineConfig(
    context=256,
    parallel=4,
    threads=2,
    threads_batch=2,
    batch=256,
    kv_cache="f16",
    flash_attention=True,
    mlock=False,
    speculation="off",
    queue_requests=64,
    queue_tokens=65_536,
    image_tokens=1024,
    image_memory=2**26,
    step_target_ms=150.0,
    prefix_cache=True,
    prefix_cache_ram=0,
    prefix_cache_disk=0,
    prefix_cache_dir=None,
)

NOISE = 0.7
"""Natural-log units by which a logprob may depend on the places of cells and the rows of a batch.

llama.cpp adds floats in the order of the cells and rounds activations to eight bits: around 0.2 was seen
with this model in four bits. Cells of another text are off by several units.
"""

STORY = "Once upon a time there was a small town by the sea, and in it lived"
_ids = itertools.count()


def serve_config(
    weights: Path,
    *,
    task: Task = "text",
    projector: Path | None = None,
    draft: Path | None = None,
    adapters: dict[str, AdapterRef] | None = None,
    **engine: Any,
) -> ServeConfig:
    """A configuration for `weights` that differs from `ENGINE` in `engine`."""
    return ServeConfig(
        model="small",
        description="",
        task=task,
        weights=FileRef(path=str(weights), sha256="0" * 64, size=None),
        projector=None if projector is None else FileRef(path=str(projector), sha256="1" * 64, size=None),
        draft=None if draft is None else FileRef(path=str(draft), sha256="3" * 64, size=None),
        adapters=adapters or {},
        engine=ENGINE.model_copy(update=engine),
        residency=None,
        budget=BudgetConfig(memory=2**30, cpus=2),
        listen=ListenConfig(host="127.0.0.1", port=1),
        limits=LimitsConfig(request_timeout_s=60, drain_timeout_s=10, max_body_bytes=2**20),
        http=http_config(Http()),
        guard=GuardConfig(max_prompt_bytes=4 * 2**20, max_images=0, max_pixels=1, policy="flag"),
        audit=AuditConfig(sink="off", directory=""),
        logs=LogsConfig(level="info", content=False),
        tracing=None,
        access=None,
        secrets=None,
    )


@asynccontextmanager
async def running(weights: Path, **config: Any) -> AsyncGenerator[LlamaEngine]:
    """An engine that is ready, and stopped afterwards."""
    engine = LlamaEngine(serve_config(weights, **config))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.drain(0.0)


@dataclass(frozen=True)
class Choice:
    """Everything that one choice of an answer said."""

    text: str
    tokens: tuple[Token, ...]
    logprobs: tuple[ChosenLogprob, ...]
    finish: FinishReason


@dataclass(frozen=True)
class Answer:
    """A complete answer; `text` and the like are those of the first choice."""

    choices: tuple[Choice, ...]
    usage: Usage
    timings: Timings

    @property
    def text(self) -> str:
        """Text of the first choice."""
        return self.choices[0].text

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Tokens of the first choice."""
        return self.choices[0].tokens

    @property
    def finish(self) -> FinishReason:
        """Why the first choice ended."""
        return self.choices[0].finish


async def collect(stream: GenerationStream) -> Answer:
    """Read a stream to its end."""
    deltas = [delta async for delta in stream]
    last = deltas[-1]
    assert last.usage is not None
    assert last.timings is not None
    indexes = sorted({delta.index for delta in deltas})
    return Answer(tuple(_choice(deltas, index) for index in indexes), last.usage, last.timings)


def _choice(deltas: list[Delta], index: int) -> Choice:
    own = [delta for delta in deltas if delta.index == index]
    assert [delta.finish is not None for delta in own] == [False] * (len(own) - 1) + [True]
    finish = own[-1].finish
    assert finish is not None
    return Choice(
        "".join(delta.text for delta in own),
        tuple(token for delta in own for token in delta.tokens),
        tuple(entry for delta in own for entry in delta.logprobs),
        finish,
    )


def request(
    engine: LlamaEngine,
    prompt: str | list[Token],
    *,
    images: Sequence[ImageSpan] = (),
    adapter: str = "",
    client: str = "anonymous",
    n: int = 1,
    timeout: float | None = None,
    **sampling: Any,
) -> GenerationRequest:
    """A request for a greedy completion, unless `sampling` says otherwise."""
    if isinstance(prompt, str):
        prompt = engine.tokenize(prompt, add_special=True, parse_special=True)
    return GenerationRequest(
        request_id=f"request-{next(_ids)}",
        prompt=prompt,
        sampling=SamplingParams(**{"temperature": 0.0, "max_tokens": 8, **sampling}),
        client=client,
        n=n,
        deadline=None if timeout is None else time.monotonic() + timeout,
        images=images,
        adapter=adapter,
    )


async def ask(engine: LlamaEngine, prompt: str | list[Token], **options: Any) -> Answer:
    """The answer to a prompt; `options` are those of `request`."""
    return await collect(await engine.submit(request(engine, prompt, **options)))


async def ask_all(*answers: Coroutine[Any, Any, Answer]) -> list[Answer]:
    """Several answers, asked for at the same time."""
    return list(await asyncio.gather(*answers))


class Gate:
    """Holds the engine's thread before each `llama_decode` until it is let through."""

    def __init__(self, engine: LlamaEngine) -> None:
        self._context = _worker(engine).context
        self._decode = self._context.decode
        self._context.decode = self._held
        self._arrivals = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)
        self._closed = True

    def _held(self) -> None:
        self._arrivals.release()
        if self._closed:
            self._passes.acquire()
        self._decode()

    async def arrival(self) -> None:
        """Wait until the thread stands before a decode."""
        assert await asyncio.to_thread(self._arrivals.acquire, timeout=30)

    async def step(self) -> None:
        """Let one decode through and wait for the next one."""
        self._passes.release()
        await self.arrival()

    def open(self) -> None:
        """Let everything through, for good."""
        if self._closed:
            self._closed = False
            del self._context.decode
            self._passes.release()


@contextmanager
def held(engine: LlamaEngine) -> Generator[Gate]:
    """A gate that is open again afterwards."""
    gate = Gate(engine)
    try:
        yield gate
    finally:
        gate.open()


async def at_rest(engine: LlamaEngine) -> None:
    """Wait until nothing runs, and see that every slot and every cell is accounted for."""
    await eventually(lambda: not engine._tickets and not _worker(engine).scheduler.busy)
    await _turned(engine)
    slots = _worker(engine).scheduler._slots
    memory = lib.llama_get_memory(_worker(engine).context.pointer)
    ids = [*slots._free, *slots.cached]
    assert sorted(ids) == list(range(len(ids)))
    assert len(slots.cached) <= slots._cached_limit
    for slot in slots._free:
        assert slot not in slots.tree
        assert lib.llama_memory_seq_pos_max(memory, slot) == -1
    for slot in slots.cached:
        assert lib.llama_memory_seq_pos_max(memory, slot) == slots.tree.length(slot) - 1
    stats = engine.stats()
    assert stats.slots == ()
    assert (stats.requests_running, stats.requests_waiting, stats.waiting_prompt_tokens) == (0, 0, 0)
    assert stats.kv_cells_used <= stats.kv_cells


async def _turned(engine: LlamaEngine) -> None:
    """Wait until the thread has done what was posted before."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    _worker(engine).post(lambda: loop.call_soon_threadsafe(done.set))  # type: ignore[arg-type, return-value]
    await asyncio.wait_for(done.wait(), 30)


def _worker(engine: LlamaEngine) -> Any:
    worker = engine._worker
    assert worker is not None
    return worker


def assert_same_but_for_noise(left: Answer, right: Answer) -> None:
    """Both said the same, up to where the model itself hesitated between two tokens."""
    for one, other in zip(left.choices[0].logprobs, right.choices[0].logprobs, strict=True):
        own = {entry.token: entry.logprob for entry in one.top}
        if one.chosen.token != other.chosen.token:
            assert one.chosen.logprob - own.get(other.chosen.token, -99.0) < NOISE
            return
        assert one.chosen.logprob == pytest.approx(other.chosen.logprob, abs=NOISE)
