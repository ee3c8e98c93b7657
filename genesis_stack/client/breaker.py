"""A circuit breaker: after `failures` failures in a row nobody is asked for `open_for` seconds, then one is.

    closed --failures--> open --open_for seconds--> half open --the probe succeeds--> closed
                          ^                             |
                          +------ the probe fails ------+

Nothing in here awaits, so under asyncio every step is atomic. docs/adr has the libraries that were tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum


class BreakerState(Enum):
    """Whom a breaker lets through."""

    CLOSED = "closed"  # everybody
    OPEN = "open"  # nobody
    HALF_OPEN = "half_open"  # one probe, nobody while it runs


class Permit:
    """The leave to make one attempt; it ends with exactly one verdict, later ones are ignored."""

    __slots__ = ("_breaker", "_epoch")

    def __init__(self, breaker: Breaker, epoch: int) -> None:
        self._breaker: Breaker | None = breaker
        self._epoch = epoch

    def answering(self) -> None:
        """A long answer has begun: a probe need not keep others waiting until its end."""
        if self._breaker is not None and self._breaker.state is BreakerState.HALF_OPEN:
            self.succeed()

    def succeed(self) -> None:
        """The server answered, be it with a refusal."""
        if breaker := self._spent():
            breaker.note_success()

    def fail(self) -> None:
        """The server failed."""
        if breaker := self._spent():
            breaker.note_failure()

    def give_back(self) -> None:
        """Nothing was learnt about the server, as when the caller was cancelled."""
        if breaker := self._spent():
            breaker.note_nothing()

    def _spent(self) -> Breaker | None:
        """The breaker, once; none for an attempt that began before the breaker last changed its state."""
        breaker, self._breaker = self._breaker, None
        return breaker if breaker is not None and breaker.epoch == self._epoch else None


class Breaker:
    """The breaker of one server. `clock` counts seconds and never goes back."""

    def __init__(
        self, *, failures: int = 5, open_for: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._open_for = open_for
        self._clock = clock
        self._failures = 0
        self._opened = 0.0
        self._probing = False
        self._state = BreakerState.CLOSED
        self.epoch = 0

    @property
    def state(self) -> BreakerState:
        """The state now; an open breaker becomes half open by time alone."""
        if self._state is BreakerState.OPEN and self._clock() >= self._opened + self._open_for:
            self._enter(BreakerState.HALF_OPEN)
        return self._state

    @property
    def retry_after(self) -> float:
        """Seconds until somebody is let through; a running probe may take any time, which counts as one."""
        match self.state:
            case BreakerState.OPEN:
                return self._opened + self._open_for - self._clock()
            case BreakerState.HALF_OPEN if self._probing:
                return 1.0
            case _:
                return 0.0

    @property
    def admits(self) -> bool:
        """Whether `admit` would give a permit."""
        state = self.state
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self._probing)

    def admit(self) -> Permit | None:
        """Leave to make an attempt; None while the circuit is open or its probe runs."""
        if not self.admits:
            return None
        self._probing = self._state is BreakerState.HALF_OPEN
        return Permit(self, self.epoch)

    def note_success(self) -> None:
        """An attempt of this epoch succeeded."""
        self._failures = 0
        if self._state is not BreakerState.CLOSED:
            self._enter(BreakerState.CLOSED)

    def note_failure(self) -> None:
        """An attempt of this epoch failed."""
        self._failures += 1
        if self._state is BreakerState.HALF_OPEN or self._failures >= self._most:
            self._opened = self._clock()
            self._enter(BreakerState.OPEN)

    def note_nothing(self) -> None:
        """An attempt of this epoch ended without a verdict: the next one may probe."""
        self._probing = False

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._failures = 0
        self._probing = False
        self.epoch += 1
