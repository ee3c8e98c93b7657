"""Hedged requests: ask a second server when the first is slow, and take whichever answers first.

The idea is from Dean and Barroso, "The Tail at Scale" (CACM 56, 2013).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def hedged(
    start: Callable[[], Coroutine[Any, Any, Result]], *, after: float, allowed: Callable[[], bool]
) -> Result:
    """The first success of at most two runs; the first run's failure if there is none.

    The second run starts after `after` seconds, if `allowed` says so then. Whoever loses is cancelled and
    has ended when this returns.
    """
    first = asyncio.create_task(start())
    tasks = [first]
    try:
        await asyncio.wait(tasks, timeout=after)
        if not first.done() and allowed():
            tasks.append(asyncio.create_task(start()))
        winner = await _first_success(tasks)
        return await (winner or first)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_success(tasks: list[asyncio.Task[Result]]) -> asyncio.Task[Result] | None:
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and task.exception() is None:
                return task
    return None
