"""Ends the work for a client that has gone away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.types import Receive

from genesis_stack.server.errors import ClientGoneError

Result = TypeVar("Result")


@asynccontextmanager
async def cancelled_on_disconnect(
    receive: Receive, task: asyncio.Task[Any]
) -> AsyncGenerator[asyncio.Task[None]]:
    """Cancel `task` when the client closes the connection; yields the task that watches for it."""
    watcher = asyncio.create_task(_gone(receive))
    watcher.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
    try:
        yield watcher
    finally:
        watcher.cancel()


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled, with ClientGoneError, if the client goes away first."""
    task = asyncio.create_task(work)
    async with cancelled_on_disconnect(receive, task) as watcher:
        try:
            return await task
        except asyncio.CancelledError:
            if watcher.done() and not watcher.cancelled():
                raise ClientGoneError from None
            task.cancel()
            raise


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
