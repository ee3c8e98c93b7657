"""Which process of a group may have its model in memory: whoever holds the lock."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Final

from genesis_stack.protocol.serve_config import GROUP_LOCKS

POLL_S: Final = 0.05


class GroupTurn:
    """A process's turn at the memory of its group, by flock(2), which ends with its process.

    The files need not be writable; they are made where they are missing. One waiter holds `next`, the others
    wait for that: who gave the memory back and wants it again stands behind it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next: int | None = None
        self._memory: int | None = None

    async def take(self) -> None:
        """Wait for the turn. Raises OSError where the files cannot be opened."""
        if self._next is None or self._memory is None:
            self._next, self._memory = (self._opened(name) for name in GROUP_LOCKS)
        await _locked(self._next)
        try:
            await _locked(self._memory)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def wanted(self) -> bool:
        """Whether another process waits for it; asked by the one that has it."""
        assert self._next is not None  # noqa: S101 -- it was taken
        if not _try(self._next):
            return True
        fcntl.flock(self._next, fcntl.LOCK_UN)
        return False

    def give_back(self) -> None:
        """Let the next one have it."""
        assert self._memory is not None  # noqa: S101 -- it was taken
        fcntl.flock(self._memory, fcntl.LOCK_UN)

    def _opened(self, name: str) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        return os.open(self._directory / name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


async def _locked(descriptor: int) -> None:
    """Tries again and again: a thread in a blocking flock could not be called back at the end."""
    while not _try(descriptor):  # noqa: ASYNC110 -- the event is in another process
        await asyncio.sleep(POLL_S)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
