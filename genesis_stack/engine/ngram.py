"""Guesses what comes next from what was there before: prompt lookup.

Answers often repeat the prompt: quotations, code that is changed a little, records that are extracted. The
idea is Saxena's Prompt Lookup Decoding (2023).
"""

from __future__ import annotations

from array import array
from typing import Final

from genesis_stack.engine.interface import Token

_LENGTH: Final = 3
"""Tokens that must repeat. With two, chance repeats often; four find little more that is right."""


class NgramIndex:
    """Where each run of three tokens was seen last; `tokens` are all so far."""

    __slots__ = ("_ends", "tokens")

    def __init__(self, tokens: array[int]) -> None:
        self.tokens = array("i", tokens)
        follows = range(
            _LENGTH, len(tokens)
        )  # the last run is what will be looked up: it may not find itself
        self._ends = dict(zip(zip(tokens, tokens[1:], tokens[2:], strict=False), follows, strict=False))

    def append(self, token: Token) -> None:
        """Note what did come next."""
        tokens = self.tokens
        if len(tokens) >= _LENGTH:
            self._ends[tokens[-3], tokens[-2], tokens[-1]] = len(tokens)
        tokens.append(token)

    def guess(self, most: int) -> array[int]:
        """Up to `most` tokens that followed the same three tokens the last time; none if they are new.

        An image is never guessed.
        """
        tokens = self.tokens
        if len(tokens) < _LENGTH:
            return array("i")
        start = self._ends.get((tokens[-3], tokens[-2], tokens[-1]))
        if start is None:
            return array("i")
        found = tokens[start : start + most]
        while len(found) < most:  # it ran into its own end: a loop goes on as it began
            found.extend(found[: most - len(found)])
        image = next((at for at, token in enumerate(found) if token < 0), None)
        return found if image is None else found[:image]
