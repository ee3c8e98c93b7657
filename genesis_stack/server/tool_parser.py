"""Finds tool calls in a completion as its text arrives, in the dialect that the model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Final

from genesis_stack.server.call_scanner import CallScanner
from genesis_stack.server.pieces import CallArguments, CallStart, Piece, Text, held_back


class Dialect(Enum):
    """How a model writes a tool call."""

    HERMES = auto()  # <tool_call>{"name": …, "arguments": {…}}</tool_call>, anywhere, also several
    LLAMA = auto()  # {"name": …, "parameters": {…}} as the whole answer, maybe after <|python_tag|>

    @classmethod
    def of(cls, template: str) -> Dialect:
        """The dialect that a chat template teaches; Hermes where it teaches none."""
        if HERMES_OPENER not in template and (PYTHON_TAG in template or "ipython" in template):
            return cls.LLAMA
        return cls.HERMES

    @property
    def arguments_key(self) -> str:
        """What the arguments are called."""
        return "parameters" if self is Dialect.LLAMA else "arguments"


HERMES_OPENER: Final = "<tool_call>"
HERMES_CLOSER: Final = "</tool_call>"
PYTHON_TAG: Final = "<|python_tag|>"


class _At(Enum):
    START = auto()  # Llama: nothing but space so far
    TEXT = auto()  # Hermes: text in which a call may begin
    CALL = auto()
    AFTER = auto()  # behind a call, where its end or another one may follow
    PLAIN = auto()  # Llama: text in which no call can begin


class ToolParser:
    """Feed it text in any portions: what it returns adds up to the same.

    Text that looks like a call but is none comes back as text, unchanged. Space between calls and
    before the first one is dropped. With `single` every call after the first one is dropped.
    """

    def __init__(self, dialect: Dialect, names: Collection[str], *, single: bool = False) -> None:
        self.calls = 0
        self._hermes = dialect is Dialect.HERMES
        self._accepts: Callable[[str], bool] = bool if self._hermes else frozenset(names).__contains__
        self._single = single
        self._at = _At.TEXT if self._hermes else _At.START
        self._buffer = ""
        self._opener = ""
        self._scanner = CallScanner(self._accepts)
        self._pieces: list[Piece] = []

    def expect_call(self) -> None:
        """The prompt already ended with the opening of a call."""
        self._open("")

    def feed(self, text: str) -> list[Piece]:
        """What is certain now."""
        self._buffer += text
        while self._step():
            pass
        return self._taken()

    def finish(self) -> list[Piece]:
        """What was waiting for text that never came."""
        if self._at is _At.CALL and self._scanner.name is None:
            self._emit_text(self._opener + self._scanner.head)
        elif self._at is not _At.AFTER:
            self._emit_text(self._buffer)
        return self._taken()

    def _taken(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def _step(self) -> bool:
        """Go on by one state if the buffer says enough."""
        match self._at:
            case _At.START:
                return self._start()
            case _At.TEXT:
                return self._search()
            case _At.CALL:
                return self._scan()
            case _At.AFTER:
                return self._follow()
            case _At.PLAIN:
                self._emit_text(self._buffer)
                self._buffer = ""
                return False

    def _emit_text(self, text: str) -> None:
        if text:
            self._pieces.append(Text(text))

    def _open(self, opener: str) -> None:
        self._opener = opener
        self._scanner = CallScanner(self._accepts)
        self._at = _At.CALL

    def _start(self) -> bool:
        seen = self._buffer.lstrip()
        if seen.startswith("{"):
            self._open("")
        elif seen.startswith(PYTHON_TAG):
            self._buffer = seen.removeprefix(PYTHON_TAG)
            self._open(PYTHON_TAG)
        elif PYTHON_TAG.startswith(seen):
            return False
        else:
            self._at = _At.PLAIN
        return True

    def _search(self) -> bool:
        before, opener, rest = self._buffer.partition(HERMES_OPENER)
        if opener:
            self._emit_text(before.rstrip())
            self._buffer = rest
            self._open(opener)
            return True
        cut = held_back(before, HERMES_OPENER)
        self._emit_text(before[:cut])
        self._buffer = before[cut:]
        return False

    def _scan(self) -> bool:
        scanner, known = self._scanner, self._scanner.name
        used = 0
        for char in self._buffer:
            if scanner.done or scanner.rejected or not scanner.push(char):
                break
            used += 1
        self._buffer = self._buffer[used:]
        if scanner.rejected:
            self._give_back()
            return True
        if known is None and scanner.name is not None:
            self._emit_call(CallStart(self.calls, scanner.name))
        if scanner.arguments:
            self._emit_call(CallArguments(self.calls, "".join(scanner.arguments)))
            scanner.arguments.clear()
        if scanner.done:
            self.calls += 1
            self._at = _At.AFTER
        return scanner.done

    def _emit_call(self, piece: CallStart | CallArguments) -> None:
        if piece.call == 0 or not self._single:
            self._pieces.append(piece)

    def _give_back(self) -> None:
        """It was no call: its opening is text, and what followed is read again as text."""
        self._emit_text(self._opener)
        self._buffer = self._scanner.head + self._buffer
        self._at = _At.TEXT if self._hermes else _At.PLAIN

    def _follow(self) -> bool:
        if self._hermes:
            return self._follow_hermes()
        self._buffer = self._buffer.lstrip(" \t\r\n;")
        if self._buffer.startswith("{"):
            self._open("")
        elif self._buffer:
            self._at = _At.PLAIN
        return bool(self._buffer)

    def _follow_hermes(self) -> bool:
        seen = self._buffer.lstrip()
        if HERMES_CLOSER.startswith(seen) and seen != HERMES_CLOSER:
            return False
        self._buffer = seen.removeprefix(HERMES_CLOSER)
        self._at = _At.TEXT
        return True
