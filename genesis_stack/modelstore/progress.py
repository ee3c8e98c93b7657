"""Progress of long transfers: a bar with rate and ETA on a terminal, a line every few seconds elsewhere.

Everything is written to stderr; stdout belongs to data.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from genesis_stack.modelstore.quantity import show_duration, show_size

LINE_EVERY: Final = 5.0
"""Seconds between two lines when stderr is no terminal."""

Advance = Callable[[int], None]
"""Called with the number of bytes done so far, not with the difference."""


def say(text: str) -> None:
    """Tell one line of the story."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def progress(what: str, total: int | None, *, done: int = 0) -> Iterator[Advance]:
    """Show that `what` goes on, from `done` to `total` bytes; `total` None means that nobody knows."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(what, total, done) as advance:
        yield advance


@contextlib.contextmanager
def _bar(what: str, total: int | None, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as RateColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        RateColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=total, completed=done)
        yield lambda now: bars.update(task, completed=now)


@contextlib.contextmanager
def _lines(what: str, total: int | None, done: int) -> Iterator[Advance]:
    start = time.monotonic()
    next_line = start + LINE_EVERY
    latest = done

    def advance(now: int) -> None:
        nonlocal next_line, latest
        latest = now
        instant = time.monotonic()
        if instant >= next_line:
            next_line = instant + LINE_EVERY
            say(f"{what}: {describe(now, total, rate=(now - done) / (instant - start))}")

    yield advance
    seconds = time.monotonic() - start
    if seconds >= LINE_EVERY:
        say(f"{what}: {show_size(latest)} in {show_duration(seconds)}")


def describe(now: int, total: int | None, *, rate: float) -> str:
    """`1.20 GiB of 4.58 GiB (26 %), 85.3 MiB/s, 41 s left`; `rate` is bytes per second."""
    text = show_size(now)
    if total:
        text += f" of {show_size(total)} ({100 * now / total:.0f} %)"
    text += f", {show_size(int(rate))}/s"
    if total and rate > 0:
        text += f", {show_duration(max(0, total - now) / rate)} left"
    return text
