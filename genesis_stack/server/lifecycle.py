"""From the first accepted connection to the exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from pathlib import Path
from typing import Final

from genesis_stack.engine.interface import EngineState, EngineUnavailableError
from genesis_stack.server import log
from genesis_stack.server.app import App
from genesis_stack.server.browsers import with_cors
from genesis_stack.server.config_file import ConfigFile
from genesis_stack.server.guard.scoring import automata
from genesis_stack.server.http_server import HttpServer
from genesis_stack.server.notify import Notifier
from genesis_stack.server.served_model import ServedModel

FAILED_LINGER_S: Final = 3.0
"""How long a failed server answers with its reason before it exits: who waits for it learns why."""

SETTLE_S: Final = 0.1
"""Between the last accept and closing idle connections: what was accepted gets to send its request."""

CANCEL_S: Final = 1.0
"""Of the drain's time, what is kept for telling cancelled clients."""

POLL_S: Final = 0.25

_log = logging.getLogger(__name__)


class Lifecycle:
    """One run of the server; `loading` is the task that loads `served`."""

    def __init__(self, file: ConfigFile, served: ServedModel, loading: asyncio.Task[None]) -> None:
        self._file = file
        self._served = served
        self._loading = loading
        self._notifier = Notifier.from_environment()
        self._stop = asyncio.Event()
        self._exit_code = 0

    async def run(self, listeners: list[socket.socket]) -> int:
        """Serve on these sockets until SIGTERM, SIGINT or the engine's failure; returns the exit code."""
        log.configure(self._file.config.logs)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        config = self._file.config
        drain_timeout_s = config.limits.drain_timeout_s + 2 * CANCEL_S
        app = App(self._served)
        entrance = with_cors(app, config.http.cors_origins)
        server = HttpServer(entrance, config, drain_timeout_s=drain_timeout_s)
        app.metrics.watch(server.admission)
        self._notifier.status("loading the model")
        serving = asyncio.create_task(server.serve(listeners))
        announcing = asyncio.create_task(self._announce())
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await self._drain(server, serving)
        for task in (announcing, watching, stopping):
            task.cancel()
        await asyncio.to_thread(app.tracing.close)
        await asyncio.to_thread(app.audit.close)
        return self._exit_code

    async def _announce(self) -> None:
        try:
            await self._loading
        except Exception:  # noqa: BLE001 -- whatever it is, /health tells it and the process ends
            if self._stop.is_set():  # the engine was let go while it loaded
                return
            _log.exception("the model could not be loaded")
            await self._fail(self._served.failure or "")
        else:
            seconds = round(_age(), 2)
            _log.info("ready", extra={"model": self._file.config.model, "seconds": seconds})
            self._notifier.ready(f"serving {self._file.config.model}")
            await asyncio.to_thread(automata)  # the first prompt need not wait for them

    async def _watch(self) -> None:
        """Beat while the engine's loop moves; end the process when the engine has failed."""
        beats = (self._notifier.watchdog_s or 4 * POLL_S) / 4
        last_heartbeat = 0.0
        while True:
            await asyncio.sleep(min(beats, POLL_S))
            try:
                heartbeat = self._served.heartbeat()
            except EngineUnavailableError:
                continue
            if self._served.state is EngineState.FAILED:
                _log.error("the engine has failed")
                await self._fail("the engine has failed")
            elif heartbeat != last_heartbeat and self._notifier.watchdog_s is not None:
                self._notifier.beat()
            last_heartbeat = heartbeat

    async def _fail(self, reason: str) -> None:
        self._exit_code = 1
        self._notifier.status(f"failed: {reason.splitlines()[0] if reason else 'unknown'}")
        await asyncio.sleep(FAILED_LINGER_S)
        self._stop.set()

    async def _drain(self, server: HttpServer, serving: asyncio.Task[None]) -> None:
        """Accept nothing more, finish what came in within the drain's time, then cancel the rest.

        The manager keeps the listening socket: who connects from now on waits for the next process.
        """
        self._notifier.stopping("finishing running requests")
        timeout = self._file.config.limits.drain_timeout_s
        self._served.give_up()
        for accepting in getattr(server, "servers", ()):
            accepting.close()
        await asyncio.sleep(SETTLE_S)
        server.should_exit = True
        await asyncio.wait({serving}, timeout=max(0.0, timeout - CANCEL_S))
        self._loading.cancel()  # else an engine could start behind the one that is let go
        await asyncio.wait({self._loading})
        await self._served.drain(CANCEL_S)
        await serving


def _age() -> float:
    """Seconds since this process was executed: proc(5) stat field 22, in ticks since the boot."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
