"""Understands the text of one choice: reasoning first, then answer and tool calls."""

from __future__ import annotations

from collections.abc import Sequence

from genesis_stack.server.pieces import CallStart, Piece, Text
from genesis_stack.server.reasoning import ReasoningSplitter
from genesis_stack.server.tool_parser import Dialect, ToolParser


class ChoiceParser:
    """Feed it text in any portions: what it returns adds up to the same.

    `reasoning_opened` is None for a model that does not reason. Without reasoning and tools the text
    passes as it is.
    """

    def __init__(
        self,
        *,
        reasoning_opened: bool | None,
        dialect: Dialect | None,
        tool_names: Sequence[str],
        forced_call: bool,
        single_call: bool,
    ) -> None:
        self.called = False
        self._reasoning = None if reasoning_opened is None else ReasoningSplitter(opened=reasoning_opened)
        self._tools = None if dialect is None else ToolParser(dialect, tool_names, single=single_call)
        if self._tools is not None and forced_call:
            self._tools.expect_call()

    def feed(self, text: str) -> Sequence[Piece]:
        """What is certain now."""
        if self._reasoning is None and self._tools is None:
            return (Text(text),)
        pieces: Sequence[Piece] = (Text(text),) if self._reasoning is None else self._reasoning.feed(text)
        return self._with_calls(pieces)

    def finish(self) -> Sequence[Piece]:
        """What was waiting for text that never came."""
        pieces = [] if self._reasoning is None else list(self._with_calls(self._reasoning.finish()))
        return pieces if self._tools is None else [*pieces, *self._tools.finish()]

    def _with_calls(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        if self._tools is None:
            return pieces
        understood: list[Piece] = []
        for piece in pieces:
            understood += self._tools.feed(piece.text) if isinstance(piece, Text) else [piece]
        self.called = self.called or any(isinstance(piece, CallStart) for piece in understood)
        return understood
