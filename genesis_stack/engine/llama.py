"""`LlamaEngine`: the `Engine` that runs one GGUF with llama.cpp."""

from __future__ import annotations

import asyncio
import logging
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from operator import mul
from typing import Final, TypeVar

from genesis_stack.engine import bindings
from genesis_stack.engine.embedder import Embedder
from genesis_stack.engine.grammar import GrammarCompiler
from genesis_stack.engine.image_encoder import ImageEncoder
from genesis_stack.engine.images import NO_IMAGES, Images
from genesis_stack.engine.interface import (
    ContextLengthError,
    EngineError,
    EngineInfo,
    EngineState,
    EngineStats,
    EngineUnavailableError,
    FinishReason,
    GenerationRequest,
    Image,
    ImagePrompt,
    ImageSpan,
    InvalidRequestError,
    QueueFullError,
    Ranking,
    Token,
)
from genesis_stack.engine.pairs import pair
from genesis_stack.engine.report import describe, measure
from genesis_stack.engine.ticket import DeltaStream, Ticket
from genesis_stack.engine.worker import Worker
from genesis_stack.protocol.serve_config import ServeConfig

_log = logging.getLogger("genesis.engine")

Pooled = TypeVar("Pooled", float, list[float])
"""What an embedding or ranking model makes of one input."""

_SWITCH_INTERVAL: Final = 0.0005
"""Seconds a thread may hold the interpreter while another waits for it.

The engine's thread comes back from llama.cpp to an interpreter that the event loop may be using. Python's
own 5 ms would then be added to every token.
"""


class LlamaEngine:
    """One model behind the `Engine` interface; see there for what the methods promise."""

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._tickets: dict[str, Ticket] = {}
        self._worker: Worker | None = None
        self._grammars: GrammarCompiler | None = None
        self._images: ImageEncoder | None = None

    async def start(self) -> None:
        """Load, warm up and become ready."""
        sys.setswitchinterval(_SWITCH_INTERVAL)
        bindings.initialise()
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def settle(error: EngineError | None) -> None:
            if ready.done():
                return
            if error is None:
                ready.set_result(None)
            else:
                ready.set_exception(error)

        def on_ready(error: EngineError | None) -> None:
            loop.call_soon_threadsafe(settle, error)

        self._worker = Worker(self._config, on_ready)
        self._worker.start()
        await ready
        self._grammars = GrammarCompiler(self._worker.model)
        if self._worker.projector is not None:
            engine = self._config.engine
            self._images = ImageEncoder(
                self._worker.projector, memory=engine.image_memory, waiting=engine.queue_requests
            )
        _log.info(
            "ready: %s, %d decode and %d prefill threads",
            self._worker.model.description,
            *self._worker.threads,
        )

    @property
    def state(self) -> EngineState:
        """Where the engine is in its life."""
        return self._worker.state if self._worker else EngineState.STARTING

    @cached_property
    def info(self) -> EngineInfo:
        """What is loaded."""
        return describe(self._config, self._loaded_worker())

    async def submit(self, request: GenerationRequest) -> DeltaStream:
        """Check, admit, and return the stream."""
        worker = self._ready_worker()
        self._check(request, len(request.prompt))
        prompt = _tokens(request.prompt, worker.model.n_vocab, param="prompt", images=request.images)
        assert self._grammars is not None  # noqa: S101 -- a ready worker has its compiler
        grammar = await self._grammars.compile(request.sampling)
        images = await self._load_images(request.images)
        try:
            return self._enqueue(request, partial(Ticket, request, prompt, grammar, images=images))
        except BaseException:
            self._release_images(request.images)
            raise

    def _enqueue(self, request: GenerationRequest, new_ticket: Callable[..., Ticket]) -> DeltaStream:
        worker = self._ready_worker()
        self._check_queue(worker, len(request.prompt))
        if request.request_id in self._tickets:
            raise InvalidRequestError(f"The request id {request.request_id} is in use.", param="request_id")
        stream = DeltaStream(partial(self._left, request))
        ticket = new_ticket(asyncio.get_running_loop(), stream.inlet)
        self._tickets[request.request_id] = ticket
        if not worker.post(partial(worker.scheduler.enqueue, ticket)):
            raise self._unavailable()
        return stream

    def _left(self, request: GenerationRequest, complete: bool) -> None:
        self._tickets.pop(request.request_id, None)
        self._release_images(request.images)
        if not complete:
            self.cancel(request.request_id)

    async def prepare_image(self, image: Image) -> ImagePrompt:
        """How the model reads an image."""
        self._ready_worker()
        if self._images is None:
            raise InvalidRequestError(f"{self._config.model} reads text only.", param="messages")
        return await self._images.prepare(image)

    async def _load_images(self, spans: Sequence[ImageSpan]) -> Images:
        if not spans or self._images is None:
            return NO_IMAGES
        return Images(await self._images.load(spans))

    def _release_images(self, spans: Sequence[ImageSpan]) -> None:
        if spans and self._images is not None:
            self._images.release(spans)

    def cancel(self, request_id: str) -> None:
        """End a request."""
        worker = self._worker
        if worker is not None and worker.state in (EngineState.READY, EngineState.DRAINING):
            worker.post(partial(worker.scheduler.abort, request_id, FinishReason.CANCELLED))

    async def embed(self, inputs: Sequence[Sequence[Token]]) -> list[list[float]]:
        """Embed on the engine's thread."""
        worker = self._ready_worker()
        if self._config.task != "embedding":
            raise InvalidRequestError(
                f"{self._config.model} makes no embeddings; they need a model of task `embedding`.",
                param="model",
            )
        runs = [_tokens(tokens, worker.model.n_vocab, param="input") for tokens in inputs]
        return await self._pool(worker, runs, Embedder.embed)

    async def rank(self, query: str, documents: Sequence[str]) -> Ranking:
        """Score each document with the query by a ranking model, or by the angle of their embeddings."""
        worker = self._ready_worker()
        match self._config.task:
            case "rerank":
                runs = [pair(worker.model, query, document) for document in documents]
                scores = await self._pool(worker, runs, Embedder.score)
            case "embedding":
                tokenize = partial(worker.model.tokenize, add_special=True, parse_special=False)
                runs = [tokenize(text) for text in (query, *documents)]
                asked, *vectors = await self._pool(worker, runs, Embedder.embed)
                scores = [max(0.0, sum(map(mul, asked, vector))) for vector in vectors]
            case _:
                raise InvalidRequestError(
                    f"{self._config.model} ranks nothing; it takes a model of task `rerank` or `embedding`.",
                    param="model",
                )
        return Ranking(tuple(scores), sum(map(len, runs)))

    async def _pool(
        self, worker: Worker, runs: Sequence[array[int]], pool: Callable[[Embedder, array[int]], Pooled]
    ) -> list[Pooled]:
        embedder = worker.embedder
        assert embedder is not None  # noqa: S101 -- these tasks have one
        for run in runs:
            embedder.check(run)
        return await asyncio.gather(*(self._pool_one(worker, partial(pool, embedder, run)) for run in runs))

    async def _pool_one(self, worker: Worker, pool: Callable[[], Pooled]) -> Pooled:
        """One input is one command, so that the thread beats in between."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Pooled] = loop.create_future()

        def run() -> None:
            if result.cancelled():
                return
            try:
                pooled = pool()
            except Exception as error:
                loop.call_soon_threadsafe(_fail, result, error)
                if not isinstance(error, EngineError):
                    raise  # our own fault ends the engine here as it does in a step
            else:
                loop.call_soon_threadsafe(_succeed, result, pooled)

        if not worker.post(run):
            raise self._unavailable()
        return await result

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[Token]:
        """Token ids of a text."""
        return (
            self._loaded_worker()
            .model.tokenize(text, add_special=add_special, parse_special=parse_special)
            .tolist()
        )

    def detokenize(self, tokens: Sequence[Token]) -> str:
        """Text of tokens."""
        model = self._loaded_worker().model
        return model.detokenize(_tokens(tokens, model.n_vocab, param="tokens"))

    def stats(self) -> EngineStats:
        """Counters and gauges."""
        return measure(self._worker, self._tickets.values())

    def heartbeat(self) -> float:
        """When the loop last turned."""
        return self._worker.beat if self._worker else 0.0

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 -- the worker keeps the bound
        """Finish, then stop."""
        worker = self._worker
        if worker is None:
            return
        worker.drain(timeout)
        await asyncio.to_thread(worker.join)
        if self._images is not None:
            self._images.close()
        if self._grammars is not None:
            self._grammars.close()

    def _loaded_worker(self) -> Worker:
        if self._worker is None or self._worker.state not in (EngineState.READY, EngineState.DRAINING):
            raise self._unavailable()
        return self._worker

    def _ready_worker(self) -> Worker:
        if self._worker is None or self._worker.state is not EngineState.READY:
            raise self._unavailable()
        return self._worker

    def _unavailable(self) -> EngineUnavailableError:
        return EngineUnavailableError(f"The model is {self.state.value}.", retry_after=1.0)

    def _check(self, request: GenerationRequest, prompt_tokens: int) -> None:
        if prompt_tokens == 0:
            raise InvalidRequestError("The prompt is empty.", param="prompt")
        if request.n < 1:
            raise InvalidRequestError("At least one choice must be asked for.", param="n")
        if self._config.task in {"embedding", "rerank"}:
            raise InvalidRequestError(f"{self._config.model} generates no text.", param="model")
        wanted = request.sampling.max_tokens
        if request.adapter and request.adapter not in self._config.adapters:
            raise InvalidRequestError(
                f"{self._config.model} has no adapter {request.adapter[:64]!r}.", param="model"
            )
        context = self._config.engine.context
        longest = self._config.engine.batch
        if any(span.cells > longest and not span.causal for span in request.images):
            raise InvalidRequestError(
                f"This model reads an image in one piece, and at most {longest} tokens of it: "
                "the operator can raise engine.batch or lower engine.image_tokens.",
                param="messages",
            )
        if prompt_tokens + (1 if wanted is None else wanted) > context:
            raise ContextLengthError(prompt_tokens=prompt_tokens, max_tokens=wanted, context=context)
        if prompt_tokens > self._config.engine.queue_tokens:
            raise InvalidRequestError(
                f"The prompt has {prompt_tokens} tokens; this server queues at most "
                f"{self._config.engine.queue_tokens}.",
                param="prompt",
            )

    def _check_queue(self, worker: Worker, prompt_tokens: int) -> None:
        engine = self._config.engine
        waiting = [t for t in self._tickets.values() if t.waiting_choices]
        tokens = sum(len(t.prompt) for t in waiting)
        busy = sum(t.open_choices - t.waiting_choices for t in self._tickets.values())
        room = engine.queue_requests + max(0, engine.parallel - busy)
        if len(waiting) >= room or tokens + prompt_tokens > engine.queue_tokens:
            raise QueueFullError(
                f"{len(waiting)} requests with {tokens} prompt tokens are waiting; try again later.",
                retry_after=worker.pace.wait(len(waiting), tokens, engine.parallel),
            )


def _tokens(
    tokens: Sequence[Token], n_vocab: int, *, param: str, images: Sequence[ImageSpan] = ()
) -> array[int]:
    """`tokens` as llama.cpp takes them; one that it does not know would fail the whole batch."""
    for token in _text(tokens, images):
        if not 0 <= token < n_vocab:
            raise InvalidRequestError(f"{token} is no token of this model.", param=param)
    if images and images[-1].end >= len(tokens):
        raise InvalidRequestError("A prompt cannot end with an image.", param=param)
    return array("i", tokens)


def _text(tokens: Sequence[Token], images: Sequence[ImageSpan]) -> Iterator[Token]:
    """The tokens between images."""
    start = 0
    for span in images:
        yield from tokens[start : span.start]
        start = span.end
    yield from tokens[start:]


def _succeed(result: asyncio.Future[Pooled], pooled: Pooled) -> None:
    if not result.done():
        result.set_result(pooled)


def _fail(result: asyncio.Future[Pooled], error: Exception) -> None:
    if not result.done():
        result.set_exception(error)
