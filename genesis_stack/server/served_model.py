"""The model behind this process, from before it is loaded until it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from genesis_stack.engine.chat_template import ChatTemplate
from genesis_stack.engine.interface import Engine, EngineState, EngineUnavailableError
from genesis_stack.engine.template_process import TemplateProcess
from genesis_stack.protocol.serve_config import ServeConfig

EngineFactory = Callable[[ServeConfig], Awaitable[Engine]]
"""Makes the engine, not started yet; awaited because importing llama.cpp takes a while."""

RETRY_SOON_S = 1.0


class ServedModel:
    """The engine with its chat template (rendered by `process`), its digests and its state.

    `failure` says why loading failed, once it has.
    """

    def __init__(self, config: ServeConfig, config_digest: str, process: TemplateProcess) -> None:
        self.config = config
        self.config_digest = config_digest
        self.created = int(time.time())
        self.fingerprint = f"fp_{config_digest[:12]}"
        self.failure: str | None = None
        self._engine: Engine | None = None
        self._template: ChatTemplate | None = None
        self._process = process
        self._settled = asyncio.Event()

    @property
    def names(self) -> dict[str, str]:
        """The names it answers to, with the LoRA adapter of each: its own, and `name:adapter`."""
        name = self.config.model
        return {name: "", **{f"{name}:{adapter}": adapter for adapter in self.config.adapters}}

    @property
    def state(self) -> EngineState:
        """Where the model is in its life."""
        if self.failure is not None:
            return EngineState.FAILED
        if self._engine is None or self._template is None:
            return EngineState.STARTING
        return self._engine.stats().state

    @property
    def engine(self) -> Engine:
        """The engine; raises EngineUnavailableError until it is loaded."""
        if self._engine is None or self._template is None:
            raise self._unavailable()
        return self._engine

    @property
    def template(self) -> ChatTemplate:
        """The chat template; raises EngineUnavailableError until the engine is loaded."""
        if self._template is None:
            raise self._unavailable()
        return self._template

    async def load(self, factory: EngineFactory) -> None:
        """Make the engine and start it; raises what it raises. The template's process starts meanwhile."""
        try:
            await self._process.start()
            self._engine = await factory(self.config)
            await self._engine.start()
            self._template = ChatTemplate(self._engine.info, self._process)
        except Exception as exc:
            self.failure = f"{type(exc).__name__}: {exc}"
            raise
        finally:
            self._settled.set()

    async def settled(self) -> None:
        """Wait until the model is loaded, has failed or stops, but no longer than a request may take.

        A client that comes during a restart waits in line like everybody else instead of being sent away.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), self.config.limits.request_timeout_s)

    def give_up(self) -> None:
        """Let nobody wait any longer for a model that will not come."""
        self._settled.set()

    async def drain(self, timeout_s: float) -> None:
        """Finish what runs within `timeout_s` seconds and let go of everything."""
        self.give_up()
        if self._engine is not None:
            await self._engine.drain(timeout_s)
        await self._process.close()

    def _unavailable(self) -> EngineUnavailableError:
        reason = "The model is loading." if self.failure is None else "The model could not be loaded."
        return EngineUnavailableError(reason, retry_after=RETRY_SOON_S)
