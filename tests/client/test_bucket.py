from __future__ import annotations

from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.client.bucket import Bucket


@given(
    per_minute=st.integers(1, 600),
    steps=st.lists(st.tuples(st.floats(0, 20), st.booleans()), min_size=1, max_size=120),
)
def test_it_never_lets_more_through_than_the_allowance(
    per_minute: int, steps: list[tuple[float, bool]]
) -> None:
    """In any window: the burst, and what the time in it refills; also when requests wait or are put back."""
    clock = Clock()
    bucket = Bucket(per_minute, clock=clock)
    sent: list[float] = []
    for pause, patient in steps:
        clock.now += pause
        wait = bucket.take(1e9 if patient else 0.0)
        if wait is not None:
            sent.append(clock.now + wait)
    sent.sort()
    for first, start in enumerate(sent):
        for last in range(first, len(sent)):
            allowance = per_minute + (sent[last] - start) * per_minute / 60
            assert last - first + 1 <= allowance + 1 + 1e-6


@given(per_minute=st.integers(1, 600), taken=st.integers(1, 50))
def test_whoever_waits_waits_in_line(per_minute: int, taken: int) -> None:
    """Waits grow by the time of one request each, in the order of asking."""
    bucket = Bucket(per_minute, clock=Clock())
    for _ in range(per_minute):
        assert bucket.take(0.0) == 0.0
    waits = [bucket.take(1e9) for _ in range(taken)]
    for position, wait in enumerate(waits, 1):
        assert wait is not None
        assert abs(wait - position * 60 / per_minute) < 1e-6


@given(per_minute=st.integers(1, 60))
def test_impatience_takes_nothing(per_minute: int) -> None:
    """A request that does not wait leaves the line as it was; one that is put back shortens it."""
    bucket = Bucket(per_minute, clock=Clock())
    for _ in range(per_minute):
        bucket.take(0.0)
    before = bucket.wait
    assert bucket.take(before / 2) is None
    assert bucket.wait == before
    bucket.put_back()
    assert bucket.take(0.0) == 0.0
