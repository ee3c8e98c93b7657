"""The waiting line: fair between clients, first come first served within one.

Each client has a virtual time that advances with the tokens it was given; who has had the least is next.
The present virtual time advances with everyone's tokens, shared among those who wait, and is never behind
the least of them (WF2Q+: Bennett and Zhang, 1996). Newcomers and those who come back start there, so that
pausing saves nothing up and no stream of newcomers starves who is already waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What can wait: it belongs to a client and has a cost in tokens."""

    @property
    def client(self) -> str:
        """Whom it belongs to."""

    @property
    def cost(self) -> int:
        """Tokens it will take."""


T = TypeVar("T", bound=Queued)


class FairQueue(Generic[T]):
    """Waiting items, one line per client."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[T]] = {}
        self._virtual: dict[str, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        """Items that wait."""
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[T]:
        """Every waiting item, client by client."""
        for line in self._lines.values():
            yield from line

    def push(self, item: T) -> None:
        """Let `item` wait at the end of its client's line."""
        line = self._lines.get(item.client)
        if line is None:
            line = self._lines[item.client] = deque()
            self._virtual[item.client] = max(self._virtual.get(item.client, 0.0), self._now)
        line.append(item)

    def pop(self) -> T:
        """The next item; raises IndexError when nobody waits."""
        if not self._lines:
            raise IndexError("nobody waits")
        client = min(self._lines, key=lambda name: self._virtual[name])
        line = self._lines[client]
        item = line.popleft()
        self._virtual[client] += item.cost
        self._now += item.cost / len(self._lines)
        if not line:
            del self._lines[client]
        self._now = max(self._now, min((self._virtual[name] for name in self._lines), default=0.0))
        self._forget()
        return item

    def remove(self, item: T) -> bool:
        """Take `item` out of the line; False if it does not wait."""
        line = self._lines.get(item.client)
        if line is None or item not in line:
            return False
        line.remove(item)
        if not line:
            del self._lines[item.client]
            self._forget()
        return True

    def _forget(self) -> None:
        """Drop the times of absent clients that the present has overtaken."""
        for client in [c for c, t in self._virtual.items() if c not in self._lines and t <= self._now]:
            del self._virtual[client]
