"""Waiting for what other threads and processes do: asked again and again, and never for ever."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: object, *, seconds: float = 30.0) -> T:
    """The condition's first true value; if none comes, the error says `what`, which may be a function."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what() if callable(what) else what}"
        time.sleep(0.02)
    return value


async def eventually(condition: Callable[[], object], *, seconds: float = 30.0, pause: float = 0.002) -> None:
    """Wait in an event loop until the condition, or what it awaits, holds; TimeoutError if it never does."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if await value if inspect.isawaitable(value) else value:
                return
            await asyncio.sleep(pause)
