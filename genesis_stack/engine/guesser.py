"""Guesses what everyone who streams says next: looked up in what was said, or else by a draft model."""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Many
from typing import Final

from genesis_stack.engine.drafter import Drafter, Wish
from genesis_stack.engine.pace import Pace
from genesis_stack.engine.sequence import Sequence

_NONE: Final = array("i")


class Guesser:
    """Where guesses come from; without any source nobody guesses.

    Args:
        looks_up: whether to look for what repeats.
        drafter: the draft model, where there is one.
        pace: what steps and rows cost.
    """

    def __init__(self, pace: Pace, *, looks_up: bool, drafter: Drafter | None) -> None:
        self._pace = pace
        self._looks_up = looks_up
        self._drafter = drafter

    def __bool__(self) -> bool:
        """Whether there is a source."""
        return self._looks_up or self._drafter is not None

    def guess(self, streaming: Many[Sequence], most: Many[int]) -> None:
        """Leave in each sequence's `draft` at most so many tokens, none where that does not pay."""
        cost = self._pace.row_share(len(streaming))
        for sequence, limit in zip(streaming, most, strict=True):
            guessing = sequence.speculation
            wanted = guessing is not None and self._looks_up and limit > 0
            sequence.draft = guessing.look_up(limit, cost) if wanted and guessing else _NONE
        if self._drafter is not None:
            self._draft(self._drafter, streaming, most, cost)

    def _draft(self, drafter: Drafter, streaming: Many[Sequence], most: Many[int], cost: float) -> None:
        cost += self._pace.step_share(drafter.token_seconds)
        wishes, wishing = [], []
        for sequence, limit in zip(streaming, most, strict=True):
            guessing = sequence.speculation
            if guessing is None or sequence.draft or sequence.images:
                continue
            wanted = guessing.draft_length(limit, cost)
            if wanted > 0:
                wishes.append(Wish(sequence.slot, guessing.tokens, wanted))
                wishing.append(sequence)
        if wishes:
            for sequence, guess in zip(wishing, drafter.guess(wishes), strict=True):
                sequence.draft = guess
