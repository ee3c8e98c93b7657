"""Bytes of tokens in, certain text out: whole UTF-8 characters, up to the first stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Turns a sequence's pieces into text that will not have to be taken back.

    A token may end inside a character, and a stop string may span tokens. What could still turn out to be
    the beginning of a stop string is held back until it is decided.
    """

    __slots__ = ("_decoder", "_held", "_stops", "stop")

    def __init__(self, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stop: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether one of the stop strings was completed; it is then in `stop`."""
        return self.stop is not None

    def feed(self, piece: bytes) -> str:
        """Text that became certain; afterwards `stopped` tells whether a stop string was completed."""
        text = self._decoder.decode(piece)
        return self._release(text) if self._stops else text

    def flush(self) -> str:
        """What was held back when the sequence ended for another reason; half a character becomes U+FFFD."""
        if self.stopped:
            return ""
        rest = self._release(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return rest

    def _release(self, text: str) -> str:
        text = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, at, self.stop = min(found)  # complete first, as if the text had come by characters
            self._held = ""
            return text[:at]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
