"""Reads one JSON object `{"name": …, "arguments": {…}}` as a model writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

import jiter

_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_HEAD: Final = re.compile(
    rf'\s*\{{\s*(?:"(?:type|id)"\s*:\s*{_STRING}\s*,\s*)*"name"\s*:\s*({_STRING})\s*,'
    r'\s*"(?:arguments|parameters)"\s*:\s*([{"])',
    re.DOTALL,
)
"""The usual order of keys, up to the first character of the arguments."""

_KEYS: Final = frozenset({"name", "arguments", "parameters", "type", "id"})


class _At(Enum):
    HEAD = auto()  # before the arguments
    ARGUMENTS = auto()
    TAIL = auto()  # after them, before the closing brace
    DONE = auto()
    REJECTED = auto()


class CallScanner:
    """Takes characters until the object is complete or turns out to be no call.

    `name` is set as soon as it is known; `arguments` collects their JSON text from then on. `accepts`
    decides which names are calls. A call that writes its arguments first is understood at its end.
    """

    def __init__(self, accepts: Callable[[str], bool]) -> None:
        self.name: str | None = None
        self.arguments: list[str] = []
        self.head = ""
        self._accepts = accepts
        self._at = _At.HEAD
        self._string: list[str] | None = None
        self._depth = 0
        self._quoted = False
        self._escaped = False

    @property
    def done(self) -> bool:
        """Whether the object is complete."""
        return self._at is _At.DONE

    @property
    def rejected(self) -> bool:
        """Whether it is no call; `head` is what was read of it."""
        return self._at is _At.REJECTED

    def push(self, char: str) -> bool:
        """Read one character; False if it is not part of the object and must be read by others."""
        match self._at:
            case _At.HEAD:
                self.head += char
                self._read_head()
            case _At.ARGUMENTS:
                self._read_argument(char)
            case _At.TAIL if not char.isspace():
                self._at = _At.DONE
                return char == "}"
            case _:
                pass
        return True

    def _read_head(self) -> None:
        if found := _HEAD.fullmatch(self.head):
            self._begin(json.loads(found[1]))
            if found[2] == '"':
                self._string = []
            if self._at is _At.HEAD:
                self._at = _At.ARGUMENTS
                self._read_argument(found[2])
        elif not self.head.isspace():
            self._read_unusual_head()

    def _read_unusual_head(self) -> None:
        """Another order of keys, or something that is no call."""
        try:
            seen = jiter.from_json(self.head.encode(), partial_mode=True)
        except ValueError:
            self._at = _At.REJECTED
            return
        if not isinstance(seen, dict) or seen.keys() - _KEYS:
            self._at = _At.REJECTED
        elif self.head.endswith("}") and _is_complete(self.head):
            self._begin(seen.get("name"))
            if self._at is _At.HEAD:
                self.arguments.append(_as_text(seen.get("arguments", seen.get("parameters"))))
                self._at = _At.DONE

    def _begin(self, name: Any) -> None:
        if isinstance(name, str) and self._accepts(name):
            self.name = name
        else:
            self._at = _At.REJECTED

    def _read_argument(self, char: str) -> None:
        (self.arguments if self._string is None else self._string).append(char)
        if self._quoted:
            if self._escaped:
                self._escaped = False
            elif char == "\\":
                self._escaped = True
            elif char == '"':
                self._quoted = False
        elif char == '"':
            self._quoted = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
        if self._depth == 0 and not self._quoted:
            self._end_arguments()

    def _end_arguments(self) -> None:
        """Arguments written as a string of JSON text are unwrapped."""
        if self._string is not None:
            self.arguments.append(_unquoted("".join(self._string)))
        self._at = _At.TAIL


def _is_complete(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text


def _as_text(arguments: Any) -> str:
    match arguments:
        case str():
            return arguments
        case None:
            return "{}"
        case _:
            return json.dumps(arguments, ensure_ascii=False)
