"""A streamed answer: chunks as they arrive, and the whole of it at the end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genesis_stack.client.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    LocalLLMError,
    MalformedResponseError,
    StreamInterruptedError,
)
from genesis_stack.client.refusals import failure_of_event
from genesis_stack.client.replicas import Lease
from genesis_stack.client.results import Chunk, Completion, Origin, ToolCall, timings_of, usage_of
from genesis_stack.client.sse import DONE
from genesis_stack.client.transport import EventSource, Exchange, parsed


@dataclass(slots=True)
class _Call:
    """A tool call while it is being written."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Assembly:
    """Puts the pieces of an answer together."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._last: dict[str, Any] = {}
        self.finish: str | None = None
        self.fingerprint: str | None = None

    @property
    def begun(self) -> bool:
        """Whether there is anything of the answer yet."""
        return bool(self._text or self._reasoning or self._calls)

    def add(self, event: Mapping[str, Any]) -> Chunk | None:
        """The news of a `chat.completion.chunk`; raises KeyError, TypeError, AttributeError for others."""
        for name in ("usage", "timings"):
            if event.get(name):
                self._last[name] = event[name]
        self.fingerprint = event.get("system_fingerprint") or self.fingerprint
        choices = event["choices"]
        if not choices:
            return None
        choice = choices[0]
        self.finish = choice.get("finish_reason") or self.finish
        delta = choice["delta"]
        if calls := delta.get("tool_calls"):
            self._add_calls(calls)
        text, reasoning = delta.get("content") or "", delta.get("reasoning_content") or ""
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        return Chunk(text, reasoning) if text or reasoning else None

    def _add_calls(self, pieces: list[Mapping[str, Any]]) -> None:
        for piece in pieces:
            call = self._calls.setdefault(piece["index"], _Call())
            function = piece.get("function") or {}
            call.id = piece.get("id") or call.id
            call.name = function.get("name") or call.name
            call.arguments.append(function.get("arguments") or "")

    def completion(self, origin: Origin, total_ms: float) -> Completion:
        """The answer as far as it came."""
        calls = (self._calls[index] for index in sorted(self._calls))
        return Completion(
            text="".join(self._text),
            origin=origin,
            finish_reason=self.finish,
            usage=usage_of(self._last),
            timings=timings_of(self._last, total_ms),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(ToolCall(call.id, call.name, "".join(call.arguments)) for call in calls),
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence that are borne before the first token (None: up to the deadline) and after it."""

    first: float | None
    between: float


class Stream:
    """An answer that is on its way: iterate over its chunks; `result` is the whole once they have ended.

    Made by `client.stream(...)`, whose `async with` closes it: leaving early stops the model within a step.
    """

    def __init__(
        self, source: EventSource, exchange: Exchange, lease: Lease, origin: Origin, patience: Patience
    ) -> None:
        self._source = source
        self._exchange = exchange
        self._lease = lease
        self._origin = origin
        self._patience = patience
        self._assembly = Assembly()
        self._ready: deque[Chunk] = deque()
        self._ended = False
        self._failure: LocalLLMError | None = None
        self._started = time.perf_counter()

    @property
    def origin(self) -> Origin:
        """Where the answer comes from."""
        return self._origin

    @property
    def fingerprint(self) -> str | None:
        """What the server says that it runs."""
        return self._assembly.fingerprint

    @property
    def partial(self) -> Completion:
        """The answer as far as it has arrived."""
        return self._assembly.completion(self._origin, (time.perf_counter() - self._started) * 1e3)

    @property
    def result(self) -> Completion:
        """The whole answer.

        Raises:
            RuntimeError: the stream has not ended yet.
        """
        if not self._ended:
            raise RuntimeError("the stream has not ended: iterate over it first, or take `partial`")
        return self.partial

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Chunk:
        ready = self._ready
        while not ready:
            if self._failure is not None:
                await self._interrupted(self._failure)
            if self._ended:
                raise StopAsyncIteration
            await self._receive(self._patience.between)
        return ready.popleft()

    async def prime(self) -> None:
        """Wait for the first token: until then the request may be sent again, elsewhere.

        Raises:
            LocalLLMError: it failed before that.
        """
        while not self._assembly.begun and not self._ended:
            await self._receive(self._patience.first)
            if self._failure is not None and not self._assembly.begun:
                raise self._failure
        self._lease.answering()

    async def leave(self) -> None:
        """Let go of the connection; an answer that was not read to its end says nothing about the server."""
        await self.close(None if self._ended else asyncio.CancelledError())

    async def close(self, failure: BaseException | None) -> None:
        """Let go of the connection and tell the breaker how it went; the first time counts."""
        self._ended = True
        self._lease.settle(failure)
        await self._source.close()

    async def _receive(self, patience: float | None) -> None:
        """Take in what comes next; a failure has its turn after the chunks that came before it."""
        try:
            await self._take_in(patience)
        except LocalLLMError as failure:
            self._failure = failure

    async def _take_in(self, patience: float | None) -> None:
        batch = await self._source.next(patience)
        if batch is None:
            self._end_of_response()
            return
        for data in batch:
            if data == DONE:
                self._ended = True
                return
            self._take(parsed(data, self._exchange))

    def _take(self, event: Mapping[str, Any]) -> None:
        if "error" in event:
            url, request_id = self._exchange.url, self._exchange.request_id
            raise failure_of_event(event, endpoint=url, request_id=request_id)
        try:
            chunk = self._assembly.add(event)
        except (KeyError, TypeError, AttributeError, IndexError):
            raise self._malformed("sent an event that is no part of a chat completion") from None
        if chunk is not None:
            self._ready.append(chunk)

    def _end_of_response(self) -> None:
        """Some servers leave out `[DONE]`; without a finish reason the answer was cut off."""
        if self._assembly.finish is None:
            message = f"{self._exchange.url} ended the stream in the middle of the answer"
            url, request_id = self._exchange.url, self._exchange.request_id
            raise ConnectionFailedError(message, endpoint=url, request_id=request_id)
        self._ended = True

    def _malformed(self, what: str) -> MalformedResponseError:
        where = {"endpoint": self._exchange.url, "request_id": self._exchange.request_id}
        return MalformedResponseError(f"{self._exchange.url} {what}", **where)

    async def _interrupted(self, failure: LocalLLMError) -> None:
        """After the first token a failure is final: what was handed out cannot be taken back."""
        interruption = StreamInterruptedError(
            f"the answer broke off: {failure}",
            partial=self.partial,
            request_id=self._exchange.request_id,
            endpoint=self._exchange.url,
            model=self._origin.model,
        )
        late = isinstance(failure, DeadlineExceededError)  # too long an answer is no fault of the server
        await self.close(None if late else interruption)
        raise interruption from None
