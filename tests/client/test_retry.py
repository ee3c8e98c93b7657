from __future__ import annotations

import asyncio
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.client.config import RetryPolicy
from genesis_stack.client.errors import (
    CircuitOpenError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
    StreamInterruptedError,
    UnavailableError,
)
from genesis_stack.client.refusals import retry_after
from genesis_stack.client.retry import backoff, retried, wait_before_next, worth_retrying

POLICIES = st.builds(RetryPolicy, attempts=st.integers(1, 9), initial=st.floats(0, 10), cap=st.floats(0, 120))


@given(attempt=st.integers(1, 5000), policy=POLICIES, share=st.floats(0, 1))
def test_the_backoff_is_any_time_up_to_the_exponential_bound(
    attempt: int, policy: RetryPolicy, share: float
) -> None:
    """Full jitter: from nothing to min(cap, initial * 2 ** (attempt - 1)), evenly, and never beyond."""
    seconds = backoff(attempt, policy, uniform=lambda low, high: low + (high - low) * share)
    bound = min(policy.cap, policy.initial * 2.0 ** min(attempt - 1, 64))
    assert seconds == pytest.approx(share * bound)
    assert 0 <= seconds <= policy.cap


def test_the_jitter_is_full() -> None:
    """Clients that failed together spread over the whole time, also over its beginning."""
    uniform = random.Random(1).uniform
    waits = sorted(backoff(4, RetryPolicy(initial=1, cap=60), uniform=uniform) for _ in range(2000))
    assert waits[0] < 0.05
    assert waits[-1] > 7.9
    assert waits[1000] == pytest.approx(4, abs=0.4)


@given(policy=POLICIES, asked=st.floats(0, 1e12), attempt=st.integers(1, 20))
def test_the_server_may_ask_for_longer_but_not_beyond_the_cap(
    policy: RetryPolicy, asked: float, attempt: int
) -> None:
    """Its wish is a lower bound, its exaggeration is not; a wait for another server ignores both."""
    busy = OverloadedError("busy", retry_after=asked)
    seconds = wait_before_next(attempt, busy, policy, elsewhere=False, uniform=lambda _low, high: high)
    assert min(asked, policy.cap) <= seconds <= policy.cap
    assert wait_before_next(attempt, busy, policy, elsewhere=True, uniform=lambda low, _high: low) == 0


@given(text=st.text(max_size=40))
def test_any_retry_after_is_read_or_ignored(text: str) -> None:
    """Whatever a server writes there: seconds that make sense, or none."""
    seconds = retry_after(text, now=0.0)
    assert seconds is None or 0 <= seconds <= 1e9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("1000000000", 1e9),
        ("9" * 5000, 1e9),
        ("1e9", None),
        ("-5", None),
        ("1.5", None),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 60.0),
        ("", None),
    ],
)
def test_retry_after_is_whole_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """RFC 9110, 10.2.3."""
    assert retry_after(text, now=0.0) == seconds


def test_only_what_may_succeed_is_sent_again() -> None:
    """No refusal, no stream that has begun, no call whose time is up."""
    assert worth_retrying(ConnectionFailedError("x"))
    assert worth_retrying(OverloadedError("x"))
    for failure in (
        InvalidRequestError("x", status=400),
        DeadlineExceededError("x"),
        CircuitOpenError("x"),
        asyncio.CancelledError(),
        ValueError("x"),
    ):
        assert not worth_retrying(failure)
    assert not issubclass(StreamInterruptedError, UnavailableError)


async def test_no_wait_goes_beyond_the_deadline() -> None:
    """The failure is told at once instead of being slept over."""
    started = time.monotonic()
    attempts = 0

    async def fail() -> None:
        nonlocal attempts
        attempts += 1
        raise OverloadedError("busy", retry_after=1e9)

    deadline = asyncio.get_running_loop().time() + 5
    with pytest.raises(OverloadedError):
        await retried(fail, RetryPolicy(attempts=9), deadline=deadline, elsewhere=lambda: False)
    assert attempts == 1
    assert time.monotonic() - started < 4


async def test_the_number_of_attempts_is_bounded() -> None:
    """Three, and the last failure is raised as it is."""
    failures = [ConnectionFailedError(str(number)) for number in range(9)]
    left = iter(failures)

    async def fail() -> None:
        raise next(left)

    deadline = asyncio.get_running_loop().time() + 60
    with pytest.raises(ConnectionFailedError) as caught:
        await retried(fail, RetryPolicy(initial=0), deadline=deadline, elsewhere=lambda: False)
    assert caught.value is failures[2]
