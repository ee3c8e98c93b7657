"""What a completion consists of once its text is understood."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Part of the model's thinking before the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """Tool call number `call` of this choice begins."""

    call: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """Part of the JSON text of the arguments of tool call number `call`."""

    call: int
    text: str


Piece = Text | Reasoning | CallStart | CallArguments


def held_back(text: str, marker: str) -> int:
    """Index from which `text` must wait: its end, with the space before it, may become `marker`."""
    start = len(text)
    for length in range(min(len(marker) - 1, len(text)), 0, -1):
        if text.endswith(marker[:length]):
            start -= length
            break
    return len(text[:start].rstrip())
