"""The one thread that owns llama.cpp: loads, warms up, steps, drains, frees.

Other threads only append to its inbox. It beats once per turn of its loop, so that a watchdog sees a step
that hangs.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from genesis_stack.engine.adapter import Adapter
from genesis_stack.engine.bindings import lib
from genesis_stack.engine.context import MAX_SEQUENCES, Context
from genesis_stack.engine.counters import Counters
from genesis_stack.engine.drafter import Drafter
from genesis_stack.engine.embedder import Embedder
from genesis_stack.engine.guesser import Guesser
from genesis_stack.engine.interface import (
    Delta,
    EngineError,
    EngineState,
    FinishReason,
    GenerationRequest,
    SamplingParams,
)
from genesis_stack.engine.model import Model
from genesis_stack.engine.pace import Pace
from genesis_stack.engine.prefix_store import PrefixStore, state_key
from genesis_stack.engine.projector import Projector
from genesis_stack.engine.scheduler import Scheduler
from genesis_stack.engine.slots import Slots
from genesis_stack.engine.ticket import Ticket
from genesis_stack.protocol.serve_config import ServeConfig

_log = logging.getLogger("genesis.engine")

_IDLE_BEAT: Final = 1.0  # seconds between two beats while there is nothing to do

_WARM_UP: Final = "The quick brown fox jumps over the lazy dog, and then it rests."

Command = Callable[[], None]


class Worker(threading.Thread):
    """Runs the engine's loop. `on_ready` is called once from this thread, with an error if loading failed."""

    def __init__(self, config: ServeConfig, on_ready: Callable[[EngineError | None], None]) -> None:
        super().__init__(name="engine", daemon=True)
        self._config = config
        self.threads = (config.engine.threads, config.engine.threads_batch)
        self._on_ready = on_ready
        self._inbox: deque[Command] = deque()
        self._wake = threading.Condition()
        self._ended = False
        self._outbox: list[tuple[Ticket, Delta]] = []
        self._drain_until: float | None = None
        self._store = PrefixStore(config.engine.prefix_cache_ram)
        self.loaded = False
        self.state = EngineState.STARTING
        self.beat = time.monotonic()
        self.pace = Pace(config.engine.step_target_ms / 1000)
        self.model: Model
        self.context: Context
        self.scheduler: Scheduler
        self.embedder: Embedder | None = None
        self.projector: Projector | None = None
        self._drafter: Drafter | None = None

    # For other threads

    def post(self, command: Command) -> bool:
        """Have `command` run on this thread before its next step; False if the thread has ended."""
        with self._wake:
            if self._ended:
                return False
            self._inbox.append(command)
            self._wake.notify()
        return True

    def drain(self, timeout: float) -> None:
        """Finish what was accepted within `timeout` seconds, then end the thread."""

        def begin() -> None:
            self._drain_until = time.monotonic() + timeout

        if self.state in (EngineState.STARTING, EngineState.READY):
            self.state = EngineState.DRAINING
        self.post(begin)

    # The thread

    def run(self) -> None:
        """Load, serve, free; a failure is logged, reported and final."""
        try:
            self._load()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the starter must be told
            self.state = EngineState.FAILED
            self._refuse_more()
            _log.exception("the model could not be loaded")
            self._on_ready(error if isinstance(error, EngineError) else EngineError(str(error)))
            return
        self.loaded = True
        if self.state is EngineState.STARTING:
            self.state = EngineState.READY
        self._on_ready(None)
        try:
            self._serve()
            self._save_prefixes()
            self.state = EngineState.STOPPED
        except Exception:  # noqa: BLE001 -- whatever it is, the readers must be told
            self.state = EngineState.FAILED
            _log.exception("the engine failed")
            self._fail_everyone()
        finally:
            self._free()

    def _free(self) -> None:
        if self._drafter is not None:
            self._drafter.close()
        self.context.close()
        if self.projector is not None and not self.projector.close():
            _log.warning("an image is still being encoded: its memory goes with the process")
            return
        self.model.close()

    def _load(self) -> None:
        config, engine = self._config, self._config.engine
        self.model = Model(config.weights.path, mlock=engine.mlock)
        if config.projector is not None:
            self.projector = Projector(
                config.projector.path,
                self.model,
                threads=self.threads[1],
                max_tokens=engine.image_tokens,
            )
        keep = 0
        if engine.prefix_cache and self.model.shares_prefixes:
            keep = min(max(engine.parallel, 8), MAX_SEQUENCES - engine.parallel)
        self.context = Context(
            self.model,
            engine,
            # One input at a time; with more, llama.cpp aborts where the rows are no multiple of them.
            sequences=1 if config.task in {"embedding", "rerank"} else Slots.count(engine.parallel, keep),
            threads=self.threads,
            embeddings=config.task in {"embedding", "rerank"},
            projector=self.projector,
        )
        for name, ref in config.adapters.items():
            self.context.add_adapter(name, Adapter(ref.path, self.model, scale=ref.scale))
        if config.task in {"embedding", "rerank"}:
            self.embedder = Embedder(self.model, self.context)
        self._slots = slots = Slots(
            self.context, self._store, live=engine.parallel, cached=keep, shares=self.model.shares_prefixes
        )
        self.scheduler = Scheduler(
            self.model,
            self.context,
            slots,
            self.pace,
            parallel=engine.parallel,
            context_length=engine.context,
            guesser=Guesser(self.pace, looks_up=engine.speculation == "ngram", drafter=self._load_drafter()),
            deliver=self._deliver,
        )
        if self.embedder:
            self._warm_up_embedder(self.embedder)
        else:
            self._warm_up(slots)
            self._load_prefixes()

    def _load_drafter(self) -> Drafter | None:
        draft, engine = self._config.draft, self._config.engine
        if draft is None:
            return None
        model = Model(draft.path, mlock=engine.mlock)
        context = Context(model, engine, sequences=self.context.sequences, threads=self.threads)
        self._drafter = Drafter(model, context, self.model.n_vocab)
        return self._drafter

    def _warm_up_embedder(self, embedder: Embedder) -> None:
        if (embedder.pooling == "rank") != (self._config.task == "rerank"):
            right = "rerank" if embedder.pooling == "rank" else "embedding"
            raise EngineError(f"{self.model.description} has the task `{right}`, not `{self._config.task}`")
        tokens = self.model.tokenize(_WARM_UP, add_special=True, parse_special=False)
        embedder.check(tokens)
        if embedder.pooling == "rank":
            embedder.score(tokens)
        else:
            embedder.embed(tokens)

    def _warm_up(self, slots: Slots) -> None:
        """One real completion: pages in the weights, builds the graphs, and gives the pace a first idea."""
        prompt = self.model.tokenize(_WARM_UP, add_special=True, parse_special=False)
        request = GenerationRequest("warm-up", prompt, SamplingParams(temperature=0.0, max_tokens=2))
        self.scheduler.enqueue(Ticket(request, prompt, None, None, lambda _: None))
        while self.scheduler.busy:
            self.scheduler.step()
        slots.forget()
        self._outbox.clear()
        self.scheduler.counters = Counters()

    def _load_prefixes(self) -> None:
        directory = self._config.engine.prefix_cache_dir
        if directory is not None and self._store:
            count = self._store.load(Path(directory), self._state_key())
            _log.info("prefix cache: %d prefixes read from %s", count, directory)

    def _save_prefixes(self) -> None:
        engine = self._config.engine
        directory = engine.prefix_cache_dir
        if directory is None or not self._store:
            return
        self._slots.clear_cache()
        try:
            self._store.dump(Path(directory), self._state_key(), engine.prefix_cache_disk)
        except OSError as error:
            _log.warning("prefix cache: not saved: %s", error)

    def _state_key(self) -> bytes:
        engine = self._config.engine
        return state_key(
            (self._config.weights.sha256, engine.kv_cache, engine.flash_attention, lib.llama_version())
        )

    def _serve(self) -> None:
        scheduler = self.scheduler
        while not self._drained():
            with self._wake:
                if not self._inbox and not scheduler.busy:
                    self._wake.wait(_IDLE_BEAT)
            for _ in range(len(self._inbox)):
                self._inbox.popleft()()
                self.beat = time.monotonic()
            self.beat = time.monotonic()
            if scheduler.busy:
                scheduler.step()
            self._flush()

    def _fail_everyone(self) -> None:
        """Tell all readers, also those whose requests came while the engine failed."""
        self._refuse_more()
        for command in self._inbox:
            with contextlib.suppress(Exception):
                command()
        self.scheduler.abort_all(FinishReason.ERROR)
        self._flush()

    def _refuse_more(self) -> None:
        with self._wake:
            self._ended = True

    def _drained(self) -> bool:
        """Whether the end has come; from then on nothing is taken into the inbox, where nobody would look."""
        if self._drain_until is None:
            return False
        with self._wake:
            late = time.monotonic() > self._drain_until
            self._ended = not self._inbox and (late or not self.scheduler.busy)
        if self._ended:
            self.scheduler.abort_all(FinishReason.CANCELLED)
            self._flush()
        return self._ended

    def _deliver(self, ticket: Ticket, delta: Delta) -> None:
        self._outbox.append((ticket, delta))

    def _flush(self) -> None:
        """Hand the step's deltas to their event loop, all in one wake-up."""
        if not self._outbox:
            return
        outbox, self._outbox = self._outbox, []
        loop = next((ticket.loop for ticket, _ in outbox if ticket.loop is not None), None)
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(_put_all, outbox)
        except RuntimeError:
            _log.debug("the event loop is gone; %d deltas had no reader", len(outbox))


def _put_all(outbox: list[tuple[Ticket, Delta]]) -> None:
    for ticket, delta in outbox:
        ticket.on_delta(delta)
