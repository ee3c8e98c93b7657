"""Guesses of a small model with the same vocabulary, for all streams at a time.

Speculative decoding (Leviathan et al., 2023, arXiv:2211.17192) with the draft's greedy tokens: what is kept
is what the large model's own sampler chooses, so its distribution does not change.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.context import Context
from genesis_stack.engine.interface import EngineError
from genesis_stack.engine.model import Model
from genesis_stack.engine.prefix_tree import common_length

_SMOOTHING: Final = 0.1
_READ: Final = 64
"""Most tokens of prompts that the draft model reads in one call, so that nobody's stream waits for it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`most` tokens are wanted behind `tokens`, by the sequence with this slot."""

    slot: int
    tokens: array[int]
    most: int


class Drafter:
    """The draft model with KV cells of its own, by the slots of the large one.

    Args:
        model: the small model; closed with the drafter.
        context: its cells, with as many sequence ids as the large model's context.
        vocabulary: tokens of the large model.

    Raises:
        EngineError: the models have different vocabularies, or the small one keeps no cells.
    """

    def __init__(self, model: Model, context: Context, vocabulary: int) -> None:
        if model.n_vocab != vocabulary:
            raise EngineError(
                f"the draft model has {model.n_vocab} tokens and the model {vocabulary}: "
                "they need the same vocabulary"
            )
        if not model.shares_prefixes:
            raise EngineError(f"{model.description} cannot draft: its state has no cells to take back")
        self._model = model
        self._context = context
        self._held: dict[int, array[int]] = {}
        self._greedy = lib.llama_sampler_init_greedy()
        self.token_seconds = 0.0

    def close(self) -> None:
        """Free cells and weights."""
        lib.llama_sampler_free(self._greedy)
        self._context.close()
        self._model.close()

    def guess(self, wishes: Sequence[Wish]) -> list[array[int]]:
        """A guess for each wish; empty for who has so long a prompt that it is still being read."""
        started = time.monotonic()
        guesses = [array("i") for _ in wishes]
        active = self._caught_up(wishes)
        while active:
            self._context.decode()
            for number, row in active.items():
                token = lib.llama_sampler_sample(self._greedy, self._context.pointer, row)
                guesses[number].append(token)
            active = self._next_rows(wishes, guesses, list(active))
        made = sum(map(len, guesses))
        if made:
            spent = (time.monotonic() - started) / made
            self.token_seconds += (spent - self.token_seconds) * (_SMOOTHING if self.token_seconds else 1.0)
        return guesses

    def _caught_up(self, wishes: Sequence[Wish]) -> dict[int, int]:
        """Put what is new into the batch; the row to sample from, by the wish that has one."""
        batch = self._context.batch
        batch.clear()
        rows = {}
        for number, wish in enumerate(wishes):
            held = self._held.setdefault(wish.slot, array("i"))
            same = min(common_length(held, wish.tokens), len(wish.tokens) - 1)
            if same < len(held):
                self._context.truncate(wish.slot, same)
                del held[same:]
            count = min(len(wish.tokens) - same, _READ - batch.size)
            if count <= 0:
                continue
            complete = same + count == len(wish.tokens)
            row = batch.add_run(wish.slot, wish.tokens, same, count, same, output=complete)
            held.extend(wish.tokens[same : same + count])
            if complete:
                rows[number] = row
        if batch.size and not rows:
            self._context.decode()
        return rows

    def _next_rows(
        self, wishes: Sequence[Wish], guesses: list[array[int]], active: list[int]
    ) -> dict[int, int]:
        """A row for the last guessed token of each that wants more."""
        batch = self._context.batch
        batch.clear()
        rows = {}
        for number in active:
            wish, guess = wishes[number], guesses[number]
            if len(guess) >= wish.most or self._model.ends_generation(guess[-1]):
                continue
            held = self._held[wish.slot]
            rows[number] = batch.add(wish.slot, guess[-1], len(held))
            held.append(guess[-1])
        return rows
