"""One way to run llama.cpp, and how fast it was: what `raw_engine` is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KvCache = Literal["f16", "q8_0"]


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings, and the work to measure them by.

    One sequence reads `prompt` tokens, which all `sequences` then share, and each goes on by up to `steps`
    tokens. Either half ends when it has taken `seconds`, though not before it was done once.
    """

    threads: int
    threads_batch: int
    kv_cache: KvCache
    batch: int
    flash_attention: bool
    prompt: int
    steps: int
    seconds: float
    sequences: int = 1

    @property
    def cells(self) -> int:
        """KV cells that it fills."""
        return self.prompt + self.sequences * self.steps


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians in tokens a second: `prefill` of one prompt, `decode` of all sequences together."""

    trial: Trial
    prefill: float
    decode: float

    @property
    def of_one(self) -> float:
        """Tokens a second that each sequence decodes."""
        return self.decode / self.trial.sequences
