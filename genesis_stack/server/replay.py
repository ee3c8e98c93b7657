"""Each signed request is good once: nonces that were seen, and the time before which none is believed.

Nothing is kept across a restart. Instead a new process believes no signature that may have been made before
it started, by a clock that is ahead as far as is allowed: what the process before it has answered cannot be
sent again. Who signed in that time is told to sign again, a few seconds later.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from genesis_stack.protocol.signature import CLOCK_SKEW, WINDOW
from genesis_stack.server.errors import HttpError, unavailable

REMEMBERED: Final = WINDOW + 2 * CLOCK_SKEW
"""Seconds after its arrival in which a signature could still be accepted, whatever its clock."""
SPARE: Final = 1000
"""Nonces a client may use beyond what its requests a minute need."""
MOST: Final = 1_000_000
"""Nonces of one client: about 200 MB."""


class NonceCache:
    """The nonces of one server; `started` is its start in Unix time, `clock` a monotonic one."""

    def __init__(self, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._believes_from = math.ceil(started) + CLOCK_SKEW
        self._clock = clock
        self._seen: dict[str, dict[str, float]] = {}

    def use(self, client: str, nonce: str, created: int, *, per_minute: int) -> bool:
        """Use a nonce of a valid signature; False when it was used before.

        Each client has room of its own, for what it may send in the window, so that none can take another's.

        Raises:
            HttpError: 503, for a signature that may be older than this server, and for a client that has
                no room left: who cannot be remembered is not let in.
        """
        if created < self._believes_from:
            wait = self._believes_from - time.time()
            raise _sign_again("The server has just started; sign the request again.", wait)
        now = self._clock()
        seen = self._seen.setdefault(client, {})
        self._forget(seen, now)
        if nonce in seen:
            return False
        if len(seen) >= min(MOST, SPARE + math.ceil(per_minute * REMEMBERED / 60)):
            wait = next(iter(seen.values())) - now
            raise _sign_again("Too many signed requests; sign this one again later.", wait)
        seen[nonce] = now + REMEMBERED
        return True

    @staticmethod
    def _forget(seen: dict[str, float], now: float) -> None:
        """Drop what could not be accepted any more; the oldest stands first."""
        while seen:
            nonce = next(iter(seen))
            if seen[nonce] > now:
                return
            del seen[nonce]


def _sign_again(message: str, wait: float) -> HttpError:
    return unavailable(message, code="sign_again", retry_after=max(1.0, wait))
