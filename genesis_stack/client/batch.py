"""Many prompts at once, within bounds, with the answers in the order of the questions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from genesis_stack.client.errors import ConfigurationError, LocalLLMError
from genesis_stack.client.messages import Messages
from genesis_stack.client.results import Completion

Ask = Callable[[Messages], Awaitable[Completion]]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One outcome a prompt, in order: an answer, or the error that there is instead."""

    outcomes: tuple[Completion | LocalLLMError, ...] = field(repr=False)

    @property
    def completions(self) -> tuple[Completion, ...]:
        """The answers that there are."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Completion))

    @property
    def failures(self) -> dict[int, LocalLLMError]:
        """The errors by the index of their prompt."""
        return {
            index: outcome
            for index, outcome in enumerate(self.outcomes)
            if isinstance(outcome, LocalLLMError)
        }

    @property
    def texts(self) -> tuple[str | None, ...]:
        """The answers' texts, None for those that failed."""
        return tuple(outcome.text if isinstance(outcome, Completion) else None for outcome in self.outcomes)


async def in_order(
    prompts: Sequence[Messages], ask: Ask, *, concurrency: int, progress: bool | None
) -> BatchResult:
    """Ask everything, `concurrency` at a time; a prompt that fails harms no other.

    `progress` None shows a bar on a terminal only. Cancellation, and what is no LocalLLMError, ends all.
    """
    if concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}", remedy="let at least one prompt run")
    outcomes: dict[int, Completion | LocalLLMError] = {}
    waiting = iter(enumerate(prompts))
    with _bar(len(prompts), progress) as advance:

        async def work() -> None:
            for index, prompt in waiting:
                try:
                    outcomes[index] = await ask(prompt)
                except LocalLLMError as failure:
                    outcomes[index] = failure
                advance()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(prompts))):
                group.create_task(work())
    return BatchResult(tuple(outcomes[index] for index in range(len(prompts))))


@contextmanager
def _bar(total: int, progress: bool | None) -> Iterator[Callable[[], None]]:
    """Draws on stderr, so that answers can be piped; rich honours NO_COLOR."""
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("prompts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("prompts", total=total)
        yield lambda: bar.advance(task)
