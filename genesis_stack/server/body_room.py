"""The memory for bodies that are being received: all of them together may take only so much.

Each body is bounded, but there are many connections; without a common bound they could fill the server's
memory budget, and the kernel would end it for everyone.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from genesis_stack.server.errors import unavailable

LARGEST_BODIES: Final = 8
"""How many bodies of the largest size there is room for at the same time."""

SMALL: Final = 64 * 1024
"""Bytes of each body that always find room, so that large ones never keep small ones out."""


class BodyRoom:
    """The room of one server, whose bodies have at most `max_body` bytes each."""

    def __init__(self, max_body: int) -> None:
        self._free = LARGEST_BODIES * max_body

    @contextmanager
    def place(self) -> Generator[Place]:
        """A place for one body, as long as it is being received."""
        place = Place(self)
        try:
            yield place
        finally:
            self._free += place.held

    def take(self, size: int) -> None:
        """Take so many bytes more; raises HttpError 503 when there is no room."""
        if size > self._free:
            raise unavailable("Too many large bodies are being received.", code="no_room", retry_after=1)
        self._free -= size


class Place:
    """What one body holds of the room."""

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.held = 0

    def hold(self, size: int) -> None:
        """Have room for a body of so many bytes; raises HttpError 503 when there is none."""
        needed = max(0, size - SMALL)
        if needed > self.held:
            self._room.take(needed - self.held)
            self.held = needed
