"""Runs requests on the engine and reads their deltas as updates of choices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, Literal

from genesis_stack.engine.interface import (
    ChosenLogprob,
    Delta,
    Engine,
    FinishReason,
    GenerationRequest,
    GenerationStream,
    ImageSpan,
    SamplingParams,
    Timings,
    Token,
    Usage,
)
from genesis_stack.server.choice_parser import ChoiceParser
from genesis_stack.server.errors import HttpError, unavailable
from genesis_stack.server.exchange import Exchange
from genesis_stack.server.limits import Lease
from genesis_stack.server.pieces import Piece
from genesis_stack.server.served_model import RETRY_SOON_S

Finish = Literal["stop", "length", "tool_calls"]

NO_PIECES: Final[tuple[Piece, ...]] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """News of choice `index`; the last one of all carries `usage` and `timings`.

    `stop` is the stop string that ended it, if one did.
    """

    index: int
    pieces: Sequence[Piece]
    logprobs: Sequence[ChosenLogprob]
    finish: Finish | None
    usage: Usage | None
    timings: Timings | None
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What one HTTP request asks of the engine: `n` choices for each prompt.

    `images` stand in its prompt; where there are any, there is only one.
    """

    id: str
    prompts: Sequence[Sequence[Token]]
    sampling: SamplingParams
    new_parser: Callable[[], ChoiceParser]
    client: str
    timeout_s: float
    n: int = 1
    images: Sequence[ImageSpan] = ()
    adapter: str = ""

    def requests(self, waited_s: float) -> list[GenerationRequest]:
        """One engine request a prompt, for what is left of the time after `waited_s`."""
        deadline = time.monotonic() + self.timeout_s - waited_s
        return [
            GenerationRequest(
                request_id=f"{self.id}-{number}",
                prompt=prompt,
                sampling=self.sampling,
                client=self.client,
                n=self.n,
                deadline=deadline,
                images=self.images,
                adapter=self.adapter,
            )
            for number, prompt in enumerate(self.prompts)
        ]


async def run(job: Job, engine: Engine, exchange: Exchange) -> AsyncGenerator[Update]:
    """Submit the job and yield its updates; closing the generator cancels it within one step.

    Choice `p * n + i` is choice `i` of prompt `p`.

    Raises:
        EngineError: the engine admits it not, or not now.
        LimitedError: its client has not so many tokens left now.
        HttpError: it failed underneath, or its deadline passed before its first token.
    """
    job = _reserved(job, engine, exchange.lease)
    exchange.sampling = job.sampling
    parsers = [job.new_parser() for _ in range(job.n * len(job.prompts))]
    silent = set(range(len(parsers)))
    generated = 0
    async with AsyncExitStack() as stack:
        streams: list[GenerationStream] = []
        for request in job.requests(time.perf_counter() - exchange.started):
            stream = await engine.submit(request)
            exchange.submitted = exchange.submitted or time.perf_counter()
            streams.append(await stack.enter_async_context(aclosing(stream)))
        stack.callback(lambda: _settle(job, exchange, generated))
        deltas: GenerationStream | AsyncGenerator[Delta] = (
            streams[0] if len(streams) == 1 else _merged(streams, job.n)
        )
        async with aclosing(deltas):
            async for delta in deltas:
                generated += len(delta.tokens)
                if delta.tokens:
                    exchange.note_output()
                    silent.discard(delta.index)
                yield _update(delta, parsers[delta.index], exchange, silent=delta.index in silent)


def _reserved(job: Job, engine: Engine, lease: Lease | None) -> Job:
    """The job with its tokens reserved; an answer without a bound gets what fits its client's allowance."""
    if lease is None:
        return job
    choices = job.n * len(job.prompts)
    prompt = sum(map(len, job.prompts))
    room = engine.info.n_context - min(map(len, job.prompts))
    longest = job.sampling.max_tokens
    if longest is None:
        longest = max(1, min(room, (lease.most_tokens - prompt) // choices))
        job = replace(job, sampling=replace(job.sampling, max_tokens=longest))
    lease.reserve(prompt + choices * max(0, min(longest, room)))
    return job


def _settle(job: Job, exchange: Exchange, generated: int) -> None:
    """What was used of the reservation: by the engine's count, or by what came before the client left."""
    if exchange.lease is None:
        return
    usage = exchange.usage
    if usage is None:
        exchange.lease.settle(sum(map(len, job.prompts)) + generated)
    else:
        exchange.lease.settle(usage.prompt_tokens + usage.completion_tokens)


def _update(delta: Delta, parser: ChoiceParser, exchange: Exchange, *, silent: bool) -> Update:
    if exchange.answers is not None:
        exchange.answers.setdefault(delta.index, []).append(delta.text)
    pieces = parser.feed(delta.text) if delta.text else NO_PIECES
    finish = None
    if delta.usage is not None:
        exchange.usage, exchange.timings = delta.usage, delta.timings
    if delta.finish is not None:
        pieces = [*pieces, *parser.finish()]
        finish = _finish(delta.finish, parser, silent=silent)
        exchange.finish = finish
    return Update(delta.index, pieces, delta.logprobs, finish, delta.usage, delta.timings, delta.stop)


def _finish(reason: FinishReason, parser: ChoiceParser, *, silent: bool) -> Finish:
    """OpenAI's word for it. A deadline that cuts a text short counts as its length."""
    match reason:
        case FinishReason.STOP:
            return "tool_calls" if parser.called else "stop"
        case FinishReason.LENGTH:
            return "length"
        case FinishReason.TIMEOUT if not silent:
            return "length"
        case FinishReason.TIMEOUT:
            message = "The request's time was up before its first token."
            raise unavailable(message, code="timeout", retry_after=RETRY_SOON_S)
        case FinishReason.CANCELLED:
            message = "The server is shutting down; send the request again."
            raise unavailable(message, code="cancelled", retry_after=RETRY_SOON_S)
        case FinishReason.ERROR:
            message = "The engine failed while it worked on this request."
            raise HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, message, code="engine_error")


async def _merged(streams: Sequence[GenerationStream], n: int) -> AsyncGenerator[Delta]:
    """The deltas of several prompts as they come, numbered through, with the counts added up at the end."""
    queue: asyncio.Queue[Delta | Exception | None] = asyncio.Queue()

    async def pump(number: int, stream: GenerationStream) -> None:
        try:
            async for delta in stream:
                queue.put_nowait(replace(delta, index=number * n + delta.index))
        except Exception as exc:  # noqa: BLE001 -- it travels to the reader
            queue.put_nowait(exc)
        queue.put_nowait(None)

    pumps = [asyncio.create_task(pump(*numbered)) for numbered in enumerate(streams)]
    usages: list[Usage] = []
    running = len(pumps)
    try:
        while running:
            match await queue.get():
                case None:
                    running -= 1
                case Delta(usage=None) as delta:
                    yield delta
                case Delta(usage=Usage() as usage) as delta:
                    usages.append(usage)
                    total = _sum(usages) if len(usages) == len(streams) else None
                    yield replace(delta, usage=total, timings=None)
                case Exception() as exc:
                    raise exc
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.wait(pumps)


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
    )
