"""Splits `<think>…</think>` at the start of a completion from the answer, as the text arrives."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from genesis_stack.server.pieces import Reasoning, Text, held_back

OPENER: Final = "<think>"
CLOSER: Final = "</think>"


class _At(Enum):
    START = auto()  # nothing but space so far
    THINKING = auto()
    BETWEEN = auto()  # thinking has ended, only space since
    ANSWER = auto()


class ReasoningSplitter:
    """Feed it text in any portions: what it returns adds up to the same.

    Space around the tags is dropped. `opened` says that the prompt already ended with the opening tag.
    """

    def __init__(self, *, opened: bool) -> None:
        self._at = _At.THINKING if opened else _At.START
        self._begun = False
        self._buffer = ""

    def feed(self, text: str) -> list[Reasoning | Text]:
        """What is certain now."""
        if self._at is _At.ANSWER:
            return [Text(text)]
        self._buffer += text
        pieces: list[Reasoning | Text] = []
        while self._step(pieces):
            pass
        return pieces

    def finish(self) -> list[Reasoning | Text]:
        """What was waiting for text that never came."""
        rest, self._buffer = self._buffer, ""
        if not rest or self._at is _At.BETWEEN:
            return []
        return [Reasoning(rest) if self._at is _At.THINKING else Text(rest)]

    def _step(self, pieces: list[Reasoning | Text]) -> bool:
        """Go on by one state if the buffer says enough."""
        match self._at:
            case _At.START:
                return self._start()
            case _At.THINKING:
                return self._think(pieces)
            case _At.BETWEEN:
                self._buffer = self._buffer.lstrip()
                self._at = _At.ANSWER if self._buffer else _At.BETWEEN
                return bool(self._buffer)
            case _At.ANSWER:
                if self._buffer:
                    pieces.append(Text(self._buffer))
                self._buffer = ""
                return False

    def _start(self) -> bool:
        seen = self._buffer.lstrip()
        if seen.startswith(OPENER):
            self._buffer = seen.removeprefix(OPENER)
            self._at = _At.THINKING
        elif OPENER.startswith(seen):
            return False
        else:
            self._at = _At.ANSWER
        return True

    def _think(self, pieces: list[Reasoning | Text]) -> bool:
        if not self._begun:
            self._buffer = self._buffer.lstrip()
            self._begun = bool(self._buffer)
        thought, closed, rest = self._buffer.partition(CLOSER)
        if closed:
            thought, self._buffer, self._at = thought.rstrip(), rest, _At.BETWEEN
        else:
            cut = held_back(thought, CLOSER)
            thought, self._buffer = thought[:cut], thought[cut:]
        if thought:
            pieces.append(Reasoning(thought))
        return bool(closed)
