"""The story of a long run on stderr: with a line that moves on a terminal, a sign of life elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from genesis_stack.cli.host import say

if TYPE_CHECKING:
    from rich.progress import Progress

QUIET: Final = 15.0
"""Seconds without a line after which a pipe is told what is being waited for."""


class Narration(Protocol):
    """Takes the lines of a story, and shows that it goes on."""

    def say(self, text: str) -> None:
        """Tell one line; what it says goes on until the next."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """While something else shows its own progress."""


@contextlib.contextmanager
def narration() -> Iterator[Narration]:
    """A narration of what happens in this context."""
    told = _Moving() if sys.stderr.isatty() else _Lines()
    try:
        yield told
    finally:
        told.end()


class _Moving:
    """On a terminal: the lines so far, and below them the last one with a spinner and its seconds."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def say(self, text: str) -> None:
        self.end()
        say(text)
        self._start(text)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self.end()
        yield

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, text: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.add_task(text.partition("\n")[0], total=None)
        self._bar.start()


class _Lines:
    """In a pipe: the lines, and one every `QUIET` seconds while nothing new happens."""

    def __init__(self) -> None:
        self._last: tuple[str, float] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._remind, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        self._last = text.partition("\n")[0], time.monotonic()
        say(text)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._last = None
        yield

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _remind(self) -> None:
        while not self._ended.wait(QUIET):
            if (last := self._last) is not None and (seconds := time.monotonic() - last[1]) >= QUIET:
                say(f"{last[0]} ({seconds:.0f} s)")
