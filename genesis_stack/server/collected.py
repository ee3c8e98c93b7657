"""A whole completion, for answers that are not streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from genesis_stack.engine.interface import ChosenLogprob, Timings, Usage
from genesis_stack.server.generation import Finish, Update
from genesis_stack.server.pieces import CallArguments, CallStart, Piece, Reasoning, Text


@dataclass(slots=True)
class Call:
    """A tool call; `arguments` is JSON text as the model wrote it."""

    name: str
    arguments: str = ""


@dataclass(slots=True)
class Choice:
    """One choice, growing until `finish` is set."""

    text: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    finish: Finish | None = None

    def add(self, piece: Piece) -> None:
        """Take in one piece."""
        match piece:
            case Text(text):
                self.text += text
            case Reasoning(text):
                self.reasoning += text
            case CallStart(_, name):
                self.calls.append(Call(name))
            case CallArguments(call, text):
                self.calls[call].arguments += text


@dataclass(slots=True)
class Completion:
    """All choices by index, with the counts of the request."""

    choices: dict[int, Choice] = field(default_factory=dict)
    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    timings: Timings | None = None

    def in_order(self) -> list[tuple[int, Choice]]:
        """The choices by ascending index."""
        return sorted(self.choices.items())


async def collect(updates: AsyncGenerator[Update]) -> Completion:
    """Read to the end."""
    completion = Completion()
    async with aclosing(updates):
        async for update in updates:
            choice = completion.choices.setdefault(update.index, Choice())
            for piece in update.pieces:
                choice.add(piece)
            choice.logprobs += update.logprobs
            choice.finish = update.finish or choice.finish
            completion.usage = update.usage or completion.usage
            completion.timings = update.timings or completion.timings
    return completion
