from __future__ import annotations

from clock import Clock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from genesis_stack.client.breaker import Breaker, BreakerState, Permit

FAILURES, OPEN_FOR = 5, 60.0


def _opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=FAILURES, open_for=OPEN_FOR, clock=clock)
    for _ in range(FAILURES):
        permit = breaker.admit()
        assert permit is not None
        permit.fail()
    return breaker


def test_five_failures_in_a_row_open_it_for_a_minute() -> None:
    """Four do not; a success in between starts the count again."""
    clock = Clock()
    breaker = Breaker(failures=FAILURES, open_for=OPEN_FOR, clock=clock)
    for outcome in "ffffsffff":
        permit = breaker.admit()
        assert permit is not None
        permit.fail() if outcome == "f" else permit.succeed()
    assert breaker.state is BreakerState.CLOSED
    breaker = _opened(clock)
    assert breaker.admit() is None
    assert breaker.retry_after == OPEN_FOR


def test_after_a_minute_one_probe_is_let_through_and_closes_it() -> None:
    """Everybody else waits for its verdict."""
    clock = Clock()
    breaker = _opened(clock)
    clock.now += OPEN_FOR
    probe = breaker.admit()
    assert probe is not None
    assert [breaker.admit() for _ in range(20)] == [None] * 20
    probe.succeed()
    assert breaker.state is BreakerState.CLOSED


def test_a_failed_probe_opens_it_again() -> None:
    """For the whole time."""
    clock = Clock()
    breaker = _opened(clock)
    clock.now += OPEN_FOR
    probe = breaker.admit()
    assert probe is not None
    probe.fail()
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_after == OPEN_FOR


def test_a_cancelled_probe_leaves_room_for_the_next() -> None:
    """A caller who gives up must not lock the server out for ever."""
    clock = Clock()
    breaker = _opened(clock)
    clock.now += OPEN_FOR
    probe = breaker.admit()
    assert probe is not None
    probe.give_back()
    assert breaker.admit() is not None


def test_a_probe_that_begins_to_answer_lets_others_in() -> None:
    """A long stream is proof enough at its first token."""
    clock = Clock()
    breaker = _opened(clock)
    clock.now += OPEN_FOR
    probe = breaker.admit()
    assert probe is not None
    probe.answering()
    assert breaker.state is BreakerState.CLOSED


def test_stragglers_of_an_earlier_state_change_nothing() -> None:
    """What was sent before it opened says nothing about the server now."""
    clock = Clock()
    breaker = Breaker(failures=FAILURES, open_for=OPEN_FOR, clock=clock)
    straggler = breaker.admit()
    assert straggler is not None
    for _ in range(FAILURES):
        permit = breaker.admit()
        assert permit is not None
        permit.fail()
    straggler.succeed()
    assert breaker.state is BreakerState.OPEN


class AnyHistory(RuleBasedStateMachine):
    """Random requests, outcomes and time: the rules of the breaker hold all along."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(failures=FAILURES, open_for=OPEN_FOR, clock=self.clock)
        self.running: list[Permit] = []
        self.probes = 0
        self.opened_at: float | None = None

    @rule()
    def admit(self) -> None:
        """Ask for a permit."""
        before = self.breaker.state
        permit = self.breaker.admit()
        if before is BreakerState.OPEN:
            assert permit is None
        if permit is not None:
            self.running.append(permit)
            if before is BreakerState.HALF_OPEN:
                assert self.breaker.admit() is None

    @rule(outcome=st.sampled_from(["succeed", "fail", "give_back"]), index=st.integers(0, 30))
    def end(self, outcome: str, index: int) -> None:
        """One of the running requests ends."""
        if self.running:
            permit = self.running.pop(index % len(self.running))
            before = self.breaker.state
            getattr(permit, outcome)()
            if before is not BreakerState.OPEN and self.breaker.state is BreakerState.OPEN:
                self.opened_at = self.clock.now

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @invariant()
    def an_open_one_admits_nobody_before_its_time(self) -> None:
        """And says when."""
        if self.breaker.state is BreakerState.OPEN:
            assert self.opened_at is not None
            assert self.clock.now < self.opened_at + OPEN_FOR
            assert 0 < self.breaker.retry_after <= OPEN_FOR

    @invariant()
    def it_never_locks_up(self) -> None:
        """With nothing under way and time enough, somebody gets in."""
        if not self.running and self.breaker.state is not BreakerState.OPEN:
            assert self.breaker.admits


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
