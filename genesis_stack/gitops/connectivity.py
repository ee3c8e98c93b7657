"""A change must not cut its host off: what could be reached before it must be reachable after it.

The ways are the repository, without which no later commit could mend anything, the router of the default
route, and the gateways of the stack. What did not work before proves nothing afterwards and is not asked for.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack.errors import GenesisError
from genesis_stack.gitops.repository import Repository, RepositoryError
from genesis_stack.reconcile.transaction import Prove
from genesis_stack.spec.addresses import from_here
from genesis_stack.spec.effective import hosts_of, name_of
from genesis_stack.spec.model import Stack

DEADLINE: Final = 60.0
"""Seconds within which everything must be reachable again."""
POLL_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 3.0
NEIGHBOUR_SECONDS: Final = 3.0
"""How long a router on the same network may take to answer for its address."""
_DISCARD: Final = 9
"""Port that nothing listens on (RFC 863): only the address is asked for, never the router's services."""
_COMPLETE: Final = 0x2
"""Flag of an answered entry; see ATF_COM in <linux/if_arp.h>."""


class CutOffError(GenesisError):
    """The change has cut this host off from what it could reach before."""


@dataclass(frozen=True, slots=True)
class Way:
    """Something that this host must be able to reach."""

    name: str
    works: Callable[[], bool]


def ways_of(
    repository: Repository, stack: Stack, here: str | None, proc: Path = Path("/proc")
) -> tuple[Way, ...]:
    """Everything that a change must not cut off; `stack` is the whole one in force, `here` our host in it."""
    ways = [Way(f"the repository {repository.url}", lambda: answers(repository))]
    router = default_router(proc)
    if router is not None:
        ways.append(Way(f"the router {router}", lambda: _neighbour(router, proc)))
    gateways = tuple(_gateways(stack, here))
    if gateways:
        shown = ", ".join(f"{host}:{port}" for host, port in gateways)
        ways.append(Way(f"the gateway {shown}", lambda: any(map(_connects, gateways))))
    return tuple(ways)


def _gateways(stack: Stack, here: str | None) -> Iterator[tuple[str, int]]:
    """Where the gateways of the stack are; one that answers is enough, the others may be changing too."""
    gateway = stack.gateway
    if gateway is None:
        return
    for host in gateway.hosts or hosts_of(stack):
        if host is None or host == here:
            yield from_here(gateway.listen), gateway.port
        else:
            yield name_of(stack, host), gateway.port


def keeps(ways: Sequence[Way], deadline: float) -> Prove:
    """Look now which ways work, and return what raises when one of those does not work any more.

    It gives each `deadline` seconds to come back, for a restarted gateway takes a moment.
    """
    working = [way for way in ways if way.works()]

    def prove() -> None:
        end = time.monotonic() + deadline
        for way in working:
            while not way.works():
                if time.monotonic() > end:
                    raise CutOffError(f"this host could reach {way.name} before the change and cannot now")
                time.sleep(POLL_SECONDS)

    return prove


def default_router(proc: Path = Path("/proc")) -> str | None:
    """The IPv4 address of the next hop of the default route; see "net/route" in proc(5)."""
    for words in _table(proc / "net/route"):
        if len(words) > 2 and words[1] == "00000000" and words[2] != "00000000":  # noqa: PLR2004 -- columns
            return socket.inet_ntoa(int(words[2], 16).to_bytes(4, "little"))
    return None


def _table(path: Path) -> Iterator[list[str]]:
    try:
        lines = path.read_text().splitlines()[1:]
    except OSError:
        return
    yield from (line.split() for line in lines)


def _neighbour(address: str, proc: Path) -> bool:
    """Whether the route still leads there and the router answers for its address.

    A packet to it makes the kernel ask for that; see arp(7).
    """
    if default_router(proc) != address:
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.sendto(b"", (address, _DISCARD))
    except OSError:
        return False
    end = time.monotonic() + NEIGHBOUR_SECONDS
    while time.monotonic() < end:
        entries = [words for words in _table(proc / "net/arp") if words[0] == address]
        if any(int(words[2], 16) & _COMPLETE for words in entries):
            return True
        time.sleep(0.1)
    return False


def _connects(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


def answers(repository: Repository) -> bool:
    """Whether the repository can be asked now."""
    try:
        repository.ask_remote()
    except RepositoryError:
        return False
    return True
