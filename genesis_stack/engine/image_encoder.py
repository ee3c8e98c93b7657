"""Encodes images beside the engine's thread, one at a time, and keeps what it encoded, by content.

Streams go on meanwhile: an encoder on a CPU takes seconds, and libmtmd cannot be stopped in between.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from genesis_stack.engine.images import LoadedImage
from genesis_stack.engine.interface import Image, ImagePrompt, ImageSpan, QueueFullError
from genesis_stack.engine.projector import Projector

_RETRY_AFTER_S: Final = 5.0


class _Entry:
    """Embeddings, there or on their way, and how many requests need them."""

    __slots__ = ("digest", "embeddings", "size", "users")

    def __init__(self, digest: bytes, embeddings: asyncio.Future[bytes], size: int) -> None:
        self.digest = digest
        self.embeddings = embeddings
        self.size = size
        self.users = 0


class ImageEncoder:
    """Embeddings by content; every method runs in the event loop.

    Args:
        projector: who encodes.
        memory: bytes of embeddings that may be in memory, in use or kept; one request alone may exceed it.
        waiting: requests that may wait for room.
    """

    def __init__(self, projector: Projector, *, memory: int, waiting: int) -> None:
        self._projector = projector
        self._limit = memory
        self._most_waiting = waiting
        self._held = 0
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # least recently used first
        self._line: deque[tuple[Sequence[ImageSpan], asyncio.Future[list[_Entry]]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="image-encoder")

    async def prepare(self, image: Image) -> ImagePrompt:
        """How an image is written into a prompt; raises InvalidRequestError."""
        return await asyncio.to_thread(self._projector.prepare, image)

    async def load(self, spans: Sequence[ImageSpan]) -> tuple[LoadedImage, ...]:
        """The images of a request with their embeddings, which it holds until `release`.

        Raises:
            QueueFullError: too many requests with images wait already.
            EngineError: an image could not be encoded.
        """
        entries = await self._admitted(spans)
        try:
            loaded = [
                LoadedImage(span, await asyncio.shield(entry.embeddings))
                for span, entry in zip(spans, entries, strict=True)
            ]
        except BaseException:
            self._release(entries)
            raise
        for span in spans:
            span.handle.forget_pixels()
        return tuple(loaded)

    def release(self, spans: Sequence[ImageSpan]) -> None:
        """The request is over; what it held may make room for others."""
        self._release([self._entries[span.digest] for span in spans])

    def close(self) -> None:
        """Encode nothing more; does not wait for what runs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _admitted(self, spans: Sequence[ImageSpan]) -> list[_Entry]:
        if not self._line and self._makes_room(spans):
            return self._hold(spans)
        if len(self._line) >= self._most_waiting:
            raise QueueFullError(
                f"{len(self._line)} requests wait to have images read; try again later.",
                retry_after=_RETRY_AFTER_S,
            )
        turn: asyncio.Future[list[_Entry]] = asyncio.get_running_loop().create_future()
        place = (spans, turn)
        self._line.append(place)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(turn.result())
            elif place in self._line:
                self._line.remove(place)
            raise

    def _makes_room(self, spans: Sequence[ImageSpan]) -> bool:
        """Whether the images that are missing fit, after giving up what nobody uses."""
        wanted = {span.digest for span in spans}
        missing = {span.digest: self._size(span) for span in spans if span.digest not in self._entries}
        room = self._limit - sum(missing.values())
        for idle in [e for e in self._entries.values() if not e.users and e.digest not in wanted]:
            if self._held <= room:
                break
            self._drop(idle)
        return self._held <= room or not any(entry.users for entry in self._entries.values())

    def _hold(self, spans: Sequence[ImageSpan]) -> list[_Entry]:
        entries = []
        for span in spans:
            entry = self._entries.get(span.digest)
            if entry is None:
                loop = asyncio.get_running_loop()
                encoding = loop.run_in_executor(self._thread, self._projector.encode, span)
                entry = self._entries[span.digest] = _Entry(span.digest, encoding, self._size(span))
                self._held += entry.size
            self._entries.move_to_end(span.digest)
            entry.users += 1
            entries.append(entry)
        return entries

    def _release(self, entries: Sequence[_Entry]) -> None:
        for entry in entries:
            entry.users -= 1
            if entry.users == 0 and not entry.embeddings.done():
                entry.embeddings.cancel()  # one that is being encoded already is encoded in vain
            if entry.users == 0 and (entry.embeddings.cancelled() or entry.embeddings.exception()):
                self._drop(entry)
        while self._line and self._makes_room(self._line[0][0]):
            spans, turn = self._line.popleft()
            if not turn.done():
                turn.set_result(self._hold(spans))

    def _drop(self, entry: _Entry) -> None:
        if self._entries.get(entry.digest) is entry:
            del self._entries[entry.digest]
            self._held -= entry.size

    def _size(self, span: ImageSpan) -> int:
        return 4 * span.cells * self._projector.width
