"""What an engine has done since it started; written by its thread, read by anyone."""

from __future__ import annotations

from genesis_stack.engine.interface import FinishReason


class Counters:
    """Monotonic totals; tokens and seconds as in `EngineStats`."""

    __slots__ = (
        "busy_slots",
        "cached_tokens",
        "decode_seconds",
        "finished",
        "generated_tokens",
        "last_step",
        "prefill_seconds",
        "prompt_tokens",
        "steps",
    )

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generated_tokens = 0
        self.prefill_seconds = 0.0
        self.decode_seconds = 0.0
        self.steps = 0
        self.busy_slots = 0
        self.last_step = 0.0
        self.finished = dict.fromkeys((reason.value for reason in FinishReason), 0)

    def step(self, decoding: int, prompt_tokens: int, seconds: float) -> None:
        """Count one step; a mixed one is split between the phases by its rows."""
        share = prompt_tokens / (prompt_tokens + decoding)
        self.prompt_tokens += prompt_tokens
        self.prefill_seconds += share * seconds
        self.decode_seconds += (1 - share) * seconds
        self.steps += 1
        self.busy_slots += decoding
        self.last_step = seconds

    def finish(self, reason: FinishReason) -> None:
        """Count one finished request."""
        self.finished[reason.value] += 1
