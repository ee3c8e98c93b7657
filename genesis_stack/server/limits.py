"""What each client may use: requests and tokens a minute by token buckets, and requests at a time.

Tokens are reserved before the work, prompt and longest answer together, and what was not used is given back
at its end, however it ends. Everything happens in the one thread of the event loop and between two awaits,
so that a thousand requests at once get exactly what is there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

from genesis_stack.engine.interface import EngineError
from genesis_stack.protocol.headers import RETRY_AFTER
from genesis_stack.server.errors import HttpError, bad_request
from genesis_stack.server.rate_fields import Level, rate_fields

if TYPE_CHECKING:
    from genesis_stack.protocol.access import ClientPolicy

Limit = Literal["requests", "tokens", "concurrent"]

MINUTE: Final = 60.0

_MESSAGES: Final = {
    "requests": "This key's requests a minute are used up.",
    "tokens": "This key's tokens a minute are used up.",
    "concurrent": "This key has as many requests at work as it may have at a time.",
}


class LimitedError(HttpError):
    """429; `limit` is the limit that refused, `wait` the seconds until the request would pass."""

    def __init__(self, limit: Limit, wait: float) -> None:
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            _MESSAGES[limit],
            code="rate_limit_exceeded",
            headers={RETRY_AFTER: str(max(1, math.ceil(wait)))},
        )
        self.limit: Limit = limit


class Bucket:
    """Holds one minute's allowance and fills evenly; `clock` is monotonic, in seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.capacity = per_minute
        self._clock = clock
        self._amount = float(per_minute)
        self._at = clock()

    @property
    def amount(self) -> float:
        """What is in it now; below zero after more was used than reserved."""
        now = self._clock()
        self._amount = min(self.capacity, self._amount + (now - self._at) * self.capacity / MINUTE)
        self._at = now
        return self._amount

    def wait(self, count: float) -> float:
        """Seconds until so much is in it; 0 when it is there now."""
        return max(0.0, (count - self.amount) * MINUTE / self.capacity)

    def take(self, count: float) -> None:
        """Take it out; a negative count puts it back."""
        self._amount = min(self.capacity, self.amount - count)

    def resize(self, per_minute: int) -> None:
        """Another allowance from now on; what was used stays used."""
        self._amount = min(per_minute, self.amount + max(0, per_minute - self.capacity))
        self.capacity = per_minute

    def level(self) -> Level:
        """What its owner is told."""
        return Level(self.capacity, max(0, math.floor(self.amount)), self.wait(self.capacity))


class _Usage:
    """What one client uses now."""

    def __init__(self, policy: ClientPolicy, clock: Callable[[], float]) -> None:
        self.requests = Bucket(policy.requests_per_minute, clock)
        self.tokens = Bucket(policy.tokens_per_minute, clock)
        self.running = 0

    def follow(self, policy: ClientPolicy) -> None:
        """Take up changed limits."""
        for bucket, allowance in (
            (self.requests, policy.requests_per_minute),
            (self.tokens, policy.tokens_per_minute),
        ):
            if bucket.capacity != allowance:
                bucket.resize(allowance)


class Limits:
    """The clients' usage of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._usage: dict[str, _Usage] = {}

    def lease(self, client: str, policy: ClientPolicy) -> Lease:
        """A lease for one request of this client, which has to be released."""
        if client not in self._usage:
            self._usage[client] = _Usage(policy, self._clock)
        usage = self._usage[client]
        usage.follow(policy)
        return Lease(usage, policy)


class Lease:
    """What one request holds of its client's limits until it is released."""

    def __init__(self, usage: _Usage, policy: ClientPolicy) -> None:
        self._usage = usage
        self._reserved = 0
        self._running = False
        self.policy = policy

    def begin(self) -> None:
        """Count the request.

        Raises:
            LimitedError: one more is too many now.
        """
        usage = self._usage
        if usage.running >= self.policy.concurrent:
            raise LimitedError("concurrent", 1.0)
        if wait := usage.requests.wait(1):
            raise LimitedError("requests", wait)
        usage.requests.take(1)
        usage.running += 1
        self._running = True

    @property
    def most_tokens(self) -> int:
        """What the token bucket holds when it is full."""
        return self._usage.tokens.capacity

    def reserve(self, tokens: int) -> None:
        """Set tokens aside for work that is about to begin.

        Raises:
            HttpError: 400, more than the bucket can ever hold.
            LimitedError: not now.
        """
        bucket = self._usage.tokens
        if tokens > bucket.capacity:
            raise bad_request(
                f"Prompt and max_tokens are {tokens} tokens; this key may use {bucket.capacity} a minute.",
                code="tokens_per_minute_exceeded",
            )
        if wait := bucket.wait(tokens):
            raise LimitedError("tokens", wait)
        bucket.take(tokens)
        self._reserved += tokens

    def settle(self, used: int) -> None:
        """The work has ended: what was set aside and not used goes back."""
        self._usage.tokens.take(used - self._reserved)
        self._reserved = 0

    @contextmanager
    def spending(self, tokens: int) -> Iterator[None]:
        """Work that takes exactly these tokens, unless the engine refuses it; raises what `reserve` does."""
        self.reserve(tokens)
        used = tokens
        try:
            yield
        except EngineError:
            used = 0
            raise
        finally:
            self.settle(used)

    def release(self) -> None:
        """The request has ended."""
        self.settle(0)
        if self._running:
            self._usage.running -= 1
            self._running = False

    def fields(self) -> list[tuple[bytes, bytes]]:
        """How much is left, for the response."""
        return rate_fields(self._usage.requests.level(), self._usage.tokens.level())
