"""A token bucket: at most `per_minute` requests in any minute's refill, with a burst of as many."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Sells the right to send a request, at once or later: whoever takes one knows how long to wait.

    Rights are sold ahead in the order of asking, so that waiting is fair and needs no lock.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = per_minute
        self._rate = per_minute / 60.0
        self._clock = clock
        self._tokens = self._capacity
        self._at = clock()

    def take(self, patience: float) -> float | None:
        """Seconds to wait before sending; None, and nothing taken, if that is longer than `patience`."""
        self._refill()
        wait = max(0.0, (1.0 - self._tokens) / self._rate)
        if wait > patience:
            return None
        self._tokens -= 1.0
        return wait

    def put_back(self) -> None:
        """The request was not sent after all."""
        self._refill()
        self._tokens = min(self._capacity, self._tokens + 1.0)

    @property
    def wait(self) -> float:
        """Seconds that the next one would have to wait."""
        self._refill()
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
