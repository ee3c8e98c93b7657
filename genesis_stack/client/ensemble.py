"""Several models answer the same question: the majority, the best by a judge, or the first good one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import BaseModel, Field, create_model

from genesis_stack.client.errors import EnsembleError, LocalLLMError
from genesis_stack.client.results import Completion, Structured

Strategy = Literal["majority", "best_of", "first_good"]
Accept = Callable[[Completion], bool]
AskModel = Callable[[str, int], Awaitable[Completion]]
"""Asks a model; the number tells the runs of one model apart, as a seed."""
Judge = Callable[[str, type[BaseModel]], Awaitable[Structured[BaseModel]]]
"""Asks the judge for an object."""

_LONGEST_ANSWER: Final = 4000
"""Characters of an answer that the judge reads: all of them must fit into its context."""


@dataclass(frozen=True, slots=True)
class EnsembleResult:
    """The chosen answer; `answers` has all of them in the order of the models, failures among them."""

    winner: Completion
    answers: tuple[Completion | LocalLLMError, ...] = field(repr=False)
    votes: int
    """Answers that agree with the winner, itself included; 1 where nobody voted."""


def normalised(completion: Completion) -> str:
    """What counts as the same answer: case, spaces and a final full stop make no difference."""
    return " ".join(completion.text.casefold().split()).rstrip(".! ")


def whatever(_completion: Completion) -> bool:
    """Accepts every answer."""
    return True


async def majority(models: Sequence[str], ask: AskModel, accept: Accept) -> EnsembleResult:
    """The answer that most models give; of equal ones that of the model named first."""
    answers = await _all(models, ask)
    good = _accepted(answers, accept)
    (_, votes) = (counted := Counter(map(normalised, good))).most_common(1)[0]
    winner = next(answer for answer in good if counted[normalised(answer)] == votes)
    return EnsembleResult(winner, answers, votes)


async def best_of(
    models: Sequence[str], ask: AskModel, accept: Accept, judge: Judge, question: str
) -> EnsembleResult:
    """The answer that the judge prefers. It is told no names: models like their own kind."""
    answers = await _all(models, ask)
    good = _accepted(answers, accept)
    if len(good) == 1:
        return EnsembleResult(good[0], answers, 1)
    ballot = create_model("Ballot", best=(int, Field(ge=1, le=len(good))))
    listed = "\n\n".join(
        f"Answer {number}:\n{answer.text[:_LONGEST_ANSWER]}" for number, answer in enumerate(good, 1)
    )
    prompt = (
        f"Question:\n{question}\n\n{listed}\n\nWhich answer is the most correct and helpful? "
        'Reply with JSON: {"best": <number of the answer>}.'
    )
    verdict = await judge(prompt, ballot)
    return EnsembleResult(good[getattr(verdict.value, "best") - 1], answers, 1)  # noqa: B009 -- made above


async def first_good(models: Sequence[str], ask: AskModel, accept: Accept) -> EnsembleResult:
    """The first answer that is accepted; the others are cancelled."""
    tasks = [asyncio.create_task(_caught(ask(model, run))) for run, model in enumerate(models)]
    answers: list[Completion | LocalLLMError] = []
    try:
        for next_done in asyncio.as_completed(tasks):
            answer = await next_done
            answers.append(answer)
            if isinstance(answer, Completion) and accept(answer):
                return EnsembleResult(answer, tuple(answers), 1)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    raise _nothing_good(answers)


async def _all(models: Sequence[str], ask: AskModel) -> tuple[Completion | LocalLLMError, ...]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_caught(ask(model, run))) for run, model in enumerate(models)]
    return tuple(task.result() for task in tasks)


async def _caught(asking: Awaitable[Completion]) -> Completion | LocalLLMError:
    try:
        return await asking
    except LocalLLMError as failure:
        return failure


def _accepted(answers: Sequence[Completion | LocalLLMError], accept: Accept) -> list[Completion]:
    good = [answer for answer in answers if isinstance(answer, Completion) and accept(answer)]
    if not good:
        raise _nothing_good(answers)
    return good


def _nothing_good(answers: Sequence[Completion | LocalLLMError]) -> EnsembleError:
    failures = [answer for answer in answers if isinstance(answer, LocalLLMError)]
    refused = len(answers) - len(failures)
    return EnsembleError(
        f"{len(failures)} models failed, {refused} answers were not accepted", failures=failures
    )
