"""One accepted request on its way through the engine, and the stream its reader waits at."""

from __future__ import annotations

import asyncio
import time
import weakref
from array import array
from collections import deque
from collections.abc import Callable
from typing import Self

from genesis_stack.engine.grammar import Grammar
from genesis_stack.engine.images import NO_IMAGES, Images
from genesis_stack.engine.interface import Delta, GenerationRequest, Timings, Usage


class DeltaStream:
    """Deltas from the engine's thread to one reader; every method runs in the reader's event loop.

    `on_left` is called once, when the reader has the last delta or has gone before it; its argument tells
    whether the stream was complete.
    """

    __slots__ = ("__weakref__", "_complete", "_deltas", "_left", "_waiter", "on_left")

    def __init__(self, on_left: Callable[[bool], None]) -> None:
        self.on_left = on_left
        self._deltas: deque[Delta] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._complete = False
        self._left = False

    @property
    def inlet(self) -> Callable[[Delta], None]:
        """`put`, without keeping a stream alive that its reader has dropped."""
        reader = weakref.ref(self)

        def put(delta: Delta) -> None:
            stream = reader()
            if stream is not None:
                stream.put(delta)

        return put

    def put(self, delta: Delta) -> None:
        """Hand over a delta."""
        self._deltas.append(delta)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> Delta:
        """The next delta."""
        if self._left:
            raise StopAsyncIteration
        while not self._deltas:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self._leave()
                raise
        delta = self._deltas.popleft()
        if delta.usage is not None:
            self._complete = True
            self._leave()
        return delta

    async def aclose(self) -> None:
        """Leave; idempotent."""
        self._leave()

    def __del__(self) -> None:
        """A stream that nobody reads any more is left too."""
        self._leave()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self.on_left(self._complete)


class Ticket:
    """A request with what the engine learns about it; only the engine's thread writes after creation.

    `on_delta` takes its deltas in `loop`, its reader's event loop; None when nobody reads.
    """

    __slots__ = (
        "arrival",
        "cached_tokens",
        "first_token",
        "generated",
        "grammar",
        "images",
        "loop",
        "on_delta",
        "open_choices",
        "prompt",
        "request",
        "started",
        "waiting_choices",
    )

    def __init__(
        self,
        request: GenerationRequest,
        prompt: array[int],
        grammar: Grammar | None,
        loop: asyncio.AbstractEventLoop | None,
        on_delta: Callable[[Delta], None],
        *,
        images: Images = NO_IMAGES,
    ) -> None:
        self.request = request
        self.prompt = prompt
        self.grammar = grammar
        self.images = images
        self.loop = loop
        self.on_delta = on_delta
        self.open_choices = self.waiting_choices = request.n
        self.arrival = time.monotonic()
        self.started: float | None = None
        self.first_token: float | None = None
        self.cached_tokens = 0
        self.generated = 0

    def usage(self) -> Usage:
        """Token counts so far."""
        return Usage(len(self.prompt), self.generated, self.cached_tokens)

    def timings(self, now: float) -> Timings:
        """Durations so far; a phase that was not reached took no time."""
        started = self.started if self.started is not None else now
        first = self.first_token if self.first_token is not None else now
        return Timings(started - self.arrival, first - started, now - first)
