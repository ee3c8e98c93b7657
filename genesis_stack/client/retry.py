"""Which failures are worth another attempt, and how long to wait for it.

tenacity runs the loop. Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a
wait is uniform between nothing and the exponential bound, so that clients which failed together do not come
back together.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from genesis_stack.client.errors import (
    CircuitOpenError,
    DeadlineExceededError,
    OwnLimitError,
    UnavailableError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from genesis_stack.client.config import RetryPolicy

Result = TypeVar("Result")

_log = logging.getLogger("genesis_stack.client")


def worth_retrying(failure: BaseException) -> bool:
    """Whether the same request may succeed on another attempt, with nothing of an answer handed out yet.

    A deadline is over for good, and so is a wait that would go beyond it. An open circuit stays open longer
    than any wait; fallbacks may help.
    """
    return isinstance(failure, UnavailableError) and not isinstance(
        failure, DeadlineExceededError | CircuitOpenError | OwnLimitError
    )


def backoff(attempt: int, policy: RetryPolicy, *, uniform: Callable[[float, float], float]) -> float:
    """Seconds before the attempt after `attempt` (from 1): uniform below the exponential bound."""
    doublings = min(attempt - 1, 64)  # beyond that every bound is the cap, and floats end
    return uniform(0.0, min(policy.cap, policy.initial * 2.0**doublings))


def wait_before_next(
    attempt: int,
    failure: BaseException | None,
    policy: RetryPolicy,
    *,
    elsewhere: bool,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """The backoff, or longer where the server asks for it, but never longer than the cap.

    `elsewhere` says that another server will be asked: the wishes of this one do not bind then.
    """
    seconds = backoff(attempt, policy, uniform=uniform)
    asked = getattr(failure, "retry_after", None)
    return seconds if asked is None or elsewhere else max(seconds, min(asked, policy.cap))


async def retried(
    attempt: Callable[[], Awaitable[Result]],
    policy: RetryPolicy,
    *,
    deadline: float,
    elsewhere: Callable[[], bool],
) -> Result:
    """The result of the first attempt that succeeds; the last failure otherwise.

    `deadline` is the event loop's time: no wait goes beyond it, the failure is raised instead.
    """
    from tenacity import AsyncRetrying, retry_if_exception

    now = asyncio.get_running_loop().time

    def wait(state: RetryCallState) -> float:
        return wait_before_next(state.attempt_number, _failure(state), policy, elsewhere=elsewhere())

    def enough(state: RetryCallState) -> bool:
        return state.attempt_number >= policy.attempts or now() + state.upcoming_sleep >= deadline

    retrying = AsyncRetrying(
        retry=retry_if_exception(worth_retrying),
        stop=enough,
        wait=wait,
        before_sleep=_announce,
        sleep=asyncio.sleep,
        reraise=True,
    )
    result: Result = await retrying(attempt)
    return result


def _failure(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _announce(state: RetryCallState) -> None:
    failure: Any = _failure(state)
    _log.warning(
        "attempt %d failed (%s); the next one in %.2f s",
        state.attempt_number,
        type(failure).__name__,
        state.upcoming_sleep,
        extra={"request_id": failure.request_id, "endpoint": failure.endpoint},
    )
