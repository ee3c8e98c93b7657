"""Who may be connected: caps on connections, and who makes room when they are reached.

A connection waits for its client (no bytes yet, half a request, nothing after an answer) or works for it.
Only one that waits makes room for another: first of the address that has the most, and there the one that
has waited longest. So whoever opens connections to hold them loses them to whoever has something to ask.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol

from genesis_stack.protocol.serve_config import HttpConfig

LOCAL: Final = "local"
"""The peer of all that comes from this machine: a proxy speaks for many, so it has no cap of its own."""

SWEEP_S: Final = 0.25
"""Between two looks at the deadlines."""

SPARE_DESCRIPTORS: Final = 64
"""Open files of the process that are no client's."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """One client's connection; times are those of the event loop."""

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn."""

    @property
    def deadline(self) -> float:
        """When it has waited long enough."""

    def expire(self) -> None:
        """End the wait: answer if there is a request to answer, and close."""

    def abort(self) -> None:
        """Make room at once."""


class Admission:
    """The connections of one server, by peer and in the order in which they began to wait.

    `refused` counts what no application saw: `full`, `evicted`, `timeout`, `tls`, and the codes of errors.
    """

    def __init__(self, config: HttpConfig) -> None:
        self.config = config
        self.refused: Counter[str] = Counter()
        self._total = 0
        self._most = max(1, min(config.max_connections, _descriptors() - SPARE_DESCRIPTORS))
        self._peers: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return self._total

    def admit(self, connection: Connection, peer: str) -> bool:
        """Take it in, at the cost of one that waits if need be; False when all work."""
        own = self._peers.get(peer, {})
        if peer != LOCAL and len(own) >= self.config.max_connections_per_peer:
            admitted = self._evict(peer)
        else:
            admitted = self._total < self._most or self._evict_any()
        if not admitted:
            self.refused["full"] += 1
            return False
        self._peers.setdefault(peer, {})[connection] = None
        self._total += 1
        return True

    def begin_to_wait(self, connection: Connection, peer: str) -> None:
        """Put it last in line of those that make room."""
        own = self._peers.get(peer, {})
        if connection in own:
            del own[connection]
            own[connection] = None

    def leave(self, connection: Connection, peer: str) -> None:
        """Forget it, if it is there."""
        own = self._peers.get(peer, {})
        if connection in own:
            del own[connection]
            self._total -= 1
            if not own:
                del self._peers[peer]

    def sweep(self, now: float) -> None:
        """End every wait whose deadline has passed."""
        overdue = [
            connection for own in self._peers.values() for connection in own if connection.deadline <= now
        ]
        for connection in overdue:
            try:
                connection.expire()
            except Exception:  # noqa: BLE001 -- the deadlines of all others hang on this loop
                _log.exception("a connection could not be ended in order")
                connection.abort()

    async def keep(self) -> None:
        """Sweep for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep(loop.time())

    def _evict_any(self) -> bool:
        most_first = sorted(self._peers, key=lambda peer: len(self._peers[peer]), reverse=True)
        return any(self._evict(peer) for peer in most_first)

    def _evict(self, peer: str) -> bool:
        victim = next((connection for connection in self._peers[peer] if connection.waits), None)
        if victim is None:
            return False
        self.leave(victim, peer)
        self.refused["evicted"] += 1
        victim.abort()
        return True


def peer_of(address: str | None) -> str:
    """Who counts as one: an IPv4 address, an IPv6 network of 64 bits, or this machine."""
    if address is None:
        return LOCAL
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return LOCAL
    return str(ip) if isinstance(ip, IPv4Address) else ip.exploded[:19]


def _descriptors() -> int:
    """How many files the process may open, after it has allowed itself as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # a sandbox may forbid it
            pass
    return soft if soft != resource.RLIM_INFINITY else 2**31
