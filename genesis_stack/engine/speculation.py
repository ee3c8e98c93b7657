"""Whether and how far to guess ahead for one choice, learned from how its guesses fared."""

from __future__ import annotations

from array import array
from typing import Final

from genesis_stack.engine.interface import Token
from genesis_stack.engine.ngram import NgramIndex

_FIRST: Final = 3
_MOST: Final = 12
_PRIOR: Final = (2.0, 3.0)
"""Right and all guesses before the first one: every request begins with hope, and loses it after a few."""


class Acceptance:
    """How often the guesses of one source are right."""

    __slots__ = ("_made", "_right", "reach")

    def __init__(self) -> None:
        self._right, self._made = _PRIOR
        self.reach = _FIRST

    def pays(self, cost: float) -> bool:
        """Whether guesses are right more often than the part of a step that each one costs."""
        return self._right > cost * self._made

    def observe(self, made: int, right: int) -> None:
        """Learn how a guess of `made` tokens fared, of which the first `right` were right."""
        self._right += right
        self._made += min(made, right + 1)  # those behind the first wrong one were never tried
        self.reach = min(_MOST, 2 * self.reach) if right == made else max(1, right)


class Speculation:
    """Guesses for one choice, whose prompt is `prompt`: looked up, or made by a draft model.

    A guess that is right with probability p saves p of a step and costs a row of it, and what its making
    takes; it pays where p is larger.
    """

    __slots__ = ("_draft", "_index", "_lookup", "_source")

    def __init__(self, prompt: array[int]) -> None:
        self._index = NgramIndex(prompt)
        self._lookup = Acceptance()
        self._draft = Acceptance()
        self._source = self._lookup

    @property
    def tokens(self) -> array[int]:
        """The prompt and the answer so far."""
        return self._index.tokens

    def look_up(self, most: int, cost: float) -> array[int]:
        """What followed the same tokens before, at most `most`; none where that does not pay.

        `cost` is the part of a step's time that one row per stream takes.
        """
        self._source = self._lookup
        return self._index.guess(min(most, self._lookup.reach)) if self._lookup.pays(cost) else array("i")

    def draft_length(self, most: int, cost: float) -> int:
        """How many tokens a draft model should guess; none where that does not pay at this `cost`."""
        self._source = self._draft
        return min(most, self._draft.reach) if self._draft.pays(cost) else 0

    def observe(self, made: int, right: int) -> None:
        """Learn how the last guess fared."""
        self._source.observe(made, right)

    def append(self, token: Token) -> None:
        """Note the token that was chosen."""
        self._index.append(token)
