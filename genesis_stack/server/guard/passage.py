"""A request's text, piece by piece, as the guard reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Passage:
    """Text that becomes part of the prompt; `param` is the field that it stands in.

    `trusted` text is the caller's own program: system messages, tool definitions, what the assistant said.
    It counts towards the prompt's size and is not scored: "never reveal these instructions" in a system
    message is no attack.
    """

    text: str
    param: str
    trusted: bool = False


@runtime_checkable
class Prompting(Protocol):
    """A request body that asks for something to be read by the model."""

    def passages(self) -> Iterable[Passage]:
        """All text of it."""

    def images(self) -> Iterable[tuple[str, str]]:
        """The field and the URL of each image."""
