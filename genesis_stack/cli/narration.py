"""The story of a long run on stderr: with a line that moves on a terminal, a sign of life elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, ParamSpec

from genesis_stack.cli.colour import coloured
from genesis_stack.cli.host import say

if TYPE_CHECKING:
    from rich.progress import Progress

P = ParamSpec("P")
QUIET: Final = 15.0
"""Seconds without a line after which a pipe is told what is being waited for."""


class Narration(ABC):
    """Takes the lines of a story, and shows that it goes on."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Tell one line; what it says goes on until the next."""

    @abstractmethod
    def silence(self) -> None:
        """Show nothing more until the next line."""

    def silent_in(self, work: Callable[P, None]) -> Callable[P, None]:
        """The same work, which shows its own progress."""

        def silent(*words: P.args, **named: P.kwargs) -> None:
            self.silence()
            work(*words, **named)

        return silent


@contextlib.contextmanager
def narration() -> Iterator[Narration]:
    """A narration of what happens in this context."""
    if sys.stderr.isatty():
        moving = _Moving()
        try:
            yield moving
        finally:
            moving.silence()
        return
    ended = threading.Event()
    lines = _Lines()
    thread = threading.Thread(target=lines.remind, args=(ended,), daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()


class _Moving(Narration):
    """On a terminal: the lines so far, and below them the last one with a spinner and its seconds."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def say(self, text: str) -> None:
        self.silence()
        say(text)
        self._start(text)

    def silence(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, text: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        console = Console(stderr=True, no_color=not coloured(sys.stderr))
        self._bar = Progress(*columns, console=console, transient=True)
        self._bar.add_task(text.partition("\n")[0], total=None)
        self._bar.start()


class _Lines(Narration):
    """In a pipe: the lines, and one every `QUIET` seconds while nothing new happens."""

    def __init__(self) -> None:
        self._last: tuple[str, float] | None = None

    def say(self, text: str) -> None:
        self._last = text.partition("\n")[0], time.monotonic()
        say(text)

    def silence(self) -> None:
        self._last = None

    def remind(self, ended: threading.Event) -> None:
        """Tell from time to time, until `ended`, what is being waited for."""
        while not ended.wait(QUIET):
            if (last := self._last) is not None and (seconds := time.monotonic() - last[1]) >= QUIET:
                say(f"{last[0]} ({seconds:.0f} s)")
