"""When the model is in memory: from the start, gone when idle, back for the next request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from genesis_stack.protocol.serve_config import ResidencyConfig
from genesis_stack.server.group_turn import GroupTurn

POLL_S: Final = 0.1
"""How often is looked whether the model may leave."""

PATIENCE_S: Final = 30.0
"""How long another model of the group waits while this one is busy, until this one takes no more work."""

_log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]


class Residency:
    """Requests that work with a model, and when `load` and `unload` bring it in and out of memory.

    Without a `config` it comes once and stays. `failure` is what went wrong: then it comes no more.
    """

    def __init__(self, config: ResidencyConfig | None, *, load: Step, unload: Step) -> None:
        self._config = config
        self._load, self._unload = load, unload
        self._turn = GroupTurn(Path(config.group)) if config is not None and config.group else None
        self._open = asyncio.Event()
        self._wanted = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0
        self._last_left = 0.0
        self.failure: Exception | None = None
        self._ends = False
        self._living: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Have the model loaded; raises what `load` raises. From then on it comes and goes."""
        try:
            await self._arrive()
        except Exception as exc:
            self.failure = exc
            raise
        finally:
            self._open.set()
        if self._config is not None and not self._ends:
            self._living = asyncio.create_task(self._live(self._config))

    async def enter(self, timeout_s: float) -> None:
        """Wait until the model is there or will not come; until `leave` it stays.

        Raises TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            while not self._open.is_set():
                self._wanted.set()
                await self._open.wait()
        self._inside += 1
        self._empty.clear()

    def leave(self) -> None:
        """One that entered is done."""
        self._inside -= 1
        self._last_left = time.monotonic()
        if not self._inside:
            self._empty.set()

    def give_up(self) -> None:
        """Let nobody wait any longer for a model that will not come; it goes no more, either."""
        self._ends = True
        if self._living is not None:
            self._living.cancel()
        self._open.set()

    async def end(self) -> None:
        """Wait until it neither loads nor unloads."""
        self.give_up()
        if self._living is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._living

    async def _live(self, config: ResidencyConfig) -> None:
        try:
            while True:
                await self._until_time_to_go(config.idle_s)
                self._open.clear()
                await self._empty.wait()
                await self._depart()
                await self._wanted.wait()
                await self._arrive()
                self._open.set()
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the state tells it and the process ends
            self.failure = exc
            _log.exception("the model could not be unloaded, or not be loaded again")
        finally:
            self._open.set()

    async def _arrive(self) -> None:
        if self._turn is not None:
            await self._turn.take()
        self._wanted.clear()
        started = time.monotonic()
        await self._load()
        self._last_left = time.monotonic()
        _log.info("the model is in memory", extra={"seconds": round(self._last_left - started, 2)})

    async def _depart(self) -> None:
        await self._unload()
        if self._turn is not None:
            self._turn.give_back()
        _log.info("the model has left memory")

    async def _until_time_to_go(self, idle_s: float) -> None:
        """Idle for long enough; or another of the group waits, and this one is idle or was busy for long."""
        asked: float | None = None
        while True:
            await asyncio.sleep(POLL_S)
            now = time.monotonic()
            if self._turn is None or not self._turn.wanted():
                asked = None
            elif asked is None:
                asked = now
            if asked is not None and (not self._inside or now - asked >= PATIENCE_S):
                return
            if not self._inside and now - self._last_left >= idle_s:
                return
