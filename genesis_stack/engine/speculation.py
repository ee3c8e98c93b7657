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


class Speculation:
    """Guesses for one choice, whose prompt is `prompt`."""

    __slots__ = ("_index", "_made", "_reach", "_right")

    def __init__(self, prompt: array[int]) -> None:
        self._index = NgramIndex(prompt)
        self._right, self._made = _PRIOR
        self._reach = _FIRST

    def guess(self, most: int, row_share: float) -> array[int]:
        """The next tokens, at most `most`; none where guessing does not pay.

        `row_share` is the part of a step's time that one row per stream costs. A guess that is right with
        probability p saves p of a step and costs a row, so it pays where p is larger.
        """
        if self._right <= row_share * self._made:
            return array("i")
        return self._index.guess(min(most, self._reach))

    def observe(self, made: int, right: int) -> None:
        """Learn how a guess of `made` tokens fared, of which the first `right` were right."""
        self._right += right
        self._made += min(made, right + 1)  # those behind the first wrong one were never tried
        self._reach = min(_MOST, 2 * self._reach) if right == made else max(1, right)

    def append(self, token: Token) -> None:
        """Note the token that was chosen."""
        self._index.append(token)
