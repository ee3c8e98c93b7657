"""The model behind this process, from before it is loaded until it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import time
from collections.abc import Awaitable, Callable

from genesis_stack.engine.chat_template import ChatTemplate
from genesis_stack.engine.interface import (
    Engine,
    EngineInfo,
    EngineState,
    EngineStats,
    EngineUnavailableError,
)
from genesis_stack.engine.template_process import TemplateProcess
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.lifetime_stats import at_rest, continued
from genesis_stack.server.residency import Residency

EngineFactory = Callable[[ServeConfig], Awaitable[Engine]]
"""Makes the engine, not started yet; awaited because importing llama.cpp takes a while."""

RETRY_SOON_S = 1.0

SERVING = frozenset({EngineState.READY, EngineState.UNLOADED})
"""States in which whoever asks is answered; of an unloaded model after a moment."""

ABANDONED_S = 1.0
"""What the engine gets, when the model leaves memory, to end requests whose clients are gone."""


class ServedModel:
    """The engine with its chat template (rendered by `process`), its digests and its state.

    The engine and the template exist while the model is in memory; see `Residency`. Whoever works with them
    does so between `enter` and `leave`.
    """

    def __init__(self, config: ServeConfig, config_digest: str, process: TemplateProcess) -> None:
        self.config = config
        self.config_digest = config_digest
        self.created = int(time.time())
        self.fingerprint = f"fp_{config_digest[:12]}"
        self._engine: Engine | None = None
        self._template: ChatTemplate | None = None
        self._info: EngineInfo | None = None
        self._past: EngineStats | None = None
        self._process = process
        self._residency = Residency(config.residency, load=self._load, unload=self._unload)

    @property
    def names(self) -> dict[str, str]:
        """The names it answers to, with the LoRA adapter of each: its own, and `name:adapter`."""
        name = self.config.model
        return {name: "", **{f"{name}:{adapter}": adapter for adapter in self.config.adapters}}

    @property
    def failure(self) -> str | None:
        """Why loading failed, once it has."""
        error = self._residency.failure
        return None if error is None else f"{type(error).__name__}: {error}"

    @property
    def state(self) -> EngineState:
        """Where the model is in its life; on its way out of memory and back it counts as unloaded."""
        if self.failure is not None:
            return EngineState.FAILED
        if self._engine is None or self._template is None:
            return EngineState.STARTING if self._info is None else EngineState.UNLOADED
        return self._engine.stats().state

    @property
    def info(self) -> EngineInfo:
        """What is, or was, loaded; raises EngineUnavailableError until it was for the first time."""
        if self._info is None:
            raise self._unavailable()
        return self._info

    def stats(self) -> EngineStats:
        """The engine's figures, totals since the start; raises EngineUnavailableError like `info`."""
        if self._engine is not None and self._template is not None:
            return continued(self._engine.stats(), self._past)
        if self._past is None:
            raise self._unavailable()
        return self._past

    def heartbeat(self) -> float:
        """Instant at which the engine's loop last proved to be alive; now, while there is nothing to hang.

        Raises EngineUnavailableError like `info`.
        """
        if self._engine is not None and self._template is not None:
            return self._engine.heartbeat()
        if self._info is None:
            raise self._unavailable()
        return time.monotonic()

    @property
    def engine(self) -> Engine:
        """The engine; raises EngineUnavailableError while it is not loaded."""
        if self._engine is None or self._template is None:
            raise self._unavailable()
        return self._engine

    @property
    def template(self) -> ChatTemplate:
        """The chat template; raises EngineUnavailableError while the engine is not loaded."""
        if self._template is None:
            raise self._unavailable()
        return self._template

    async def load(self, factory: EngineFactory) -> None:
        """Make the engine and start it; raises what it raises. The template's process starts meanwhile.

        From then on it leaves memory and comes back as the configuration says.
        """
        self._factory = factory
        await self._residency.begin()

    async def enter(self) -> None:
        """Wait until the model is loaded, has failed or stops, and keep it in memory until `leave`.

        A client that comes while it is not there waits in line like everybody else instead of being sent
        away, but no longer than a request may take: then EngineUnavailableError is raised.
        """
        try:
            await self._residency.enter(self.config.limits.request_timeout_s)
        except TimeoutError:
            raise self._unavailable() from None

    def leave(self) -> None:
        """Done with the model."""
        self._residency.leave()

    def give_up(self) -> None:
        """Let nobody wait any longer for a model that will not come."""
        self._residency.give_up()

    async def drain(self, timeout_s: float) -> None:
        """Finish what runs within `timeout_s` seconds and let go of everything."""
        await self._residency.end()
        if self._engine is not None:
            await self._engine.drain(timeout_s)
        await self._process.close()

    async def _load(self) -> None:
        await self._process.start()
        self._engine = await self._factory(self.config)
        await self._engine.start()
        self._info = self._engine.info
        self._template = ChatTemplate(self._info, self._process)

    async def _unload(self) -> None:
        engine = self.engine
        self._past = at_rest(self.stats())
        self._template = None  # from here on it counts as unloaded
        await engine.drain(ABANDONED_S)
        self._engine = None
        del engine
        await self._process.close()
        await asyncio.to_thread(_give_memory_back)

    def _unavailable(self) -> EngineUnavailableError:
        reason = "The model is loading." if self.failure is None else "The model could not be loaded."
        return EngineUnavailableError(reason, retry_after=RETRY_SOON_S)


def _give_memory_back() -> None:
    """To the kernel what malloc would keep for later; see malloc_trim(3)."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # other C libraries than glibc have no such function
        ctypes.CDLL(None).malloc_trim(0)
