"""What an engine has done since it started; written by its thread, read by anyone."""

from __future__ import annotations

from typing import Final

from genesis_stack.engine.histogram import Histogram
from genesis_stack.engine.interface import FinishReason, Timings

PHASE_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300, 600)
"""Seconds of one request in one phase; CPUs take minutes where GPUs take seconds."""

TOKEN_BOUNDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5)
"""Seconds between two tokens: 200 tokens/s of a tiny model to a stall behind a long prompt."""


class Counters:
    """Monotonic totals; tokens and seconds as in `EngineStats`."""

    __slots__ = (
        "accepted_tokens",
        "busy_slots",
        "cached_tokens",
        "decode_seconds",
        "decode_times",
        "drafted_tokens",
        "finished",
        "generated_tokens",
        "inter_token_times",
        "last_step",
        "prefill_seconds",
        "prefill_times",
        "prompt_tokens",
        "queue_times",
        "steps",
    )

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generated_tokens = 0
        self.drafted_tokens = 0
        self.accepted_tokens = 0
        self.prefill_seconds = 0.0
        self.decode_seconds = 0.0
        self.steps = 0
        self.busy_slots = 0
        self.last_step = 0.0
        self.finished = dict.fromkeys((reason.value for reason in FinishReason), 0)
        self.queue_times = Histogram(PHASE_BOUNDS)
        self.prefill_times = Histogram(PHASE_BOUNDS)
        self.decode_times = Histogram(PHASE_BOUNDS)
        self.inter_token_times = Histogram(TOKEN_BOUNDS)

    def step(self, decoding: int, prompt_tokens: int, seconds: float) -> None:
        """Count one step; a mixed one is split between the phases by its rows."""
        share = prompt_tokens / (prompt_tokens + decoding)
        self.prompt_tokens += prompt_tokens
        self.prefill_seconds += share * seconds
        self.decode_seconds += (1 - share) * seconds
        self.steps += 1
        self.busy_slots += decoding
        self.last_step = seconds

    def finish(self, reason: FinishReason, timings: Timings, *, started: bool, answered: bool) -> None:
        """Count one finished request, and its time in each phase that it reached.

        `started`: it left the queue; `answered`: it has its first token.
        """
        self.finished[reason.value] += 1
        self.queue_times.observe(timings.queue)
        if started:
            self.prefill_times.observe(timings.prefill)
        if answered:
            self.decode_times.observe(timings.decode)
