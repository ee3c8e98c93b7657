"""Who makes room when the places are taken."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from genesis_stack.protocol.serve_config import HttpConfig
from genesis_stack.render.http import http_config
from genesis_stack.server.admission import LOCAL, Admission, peer_of
from genesis_stack.spec.http import Http


@dataclass(eq=False)
class Peer:
    """A connection that is told what becomes of it."""

    waits: bool = True
    deadline: float = 100.0
    ended: list[str] = field(default_factory=list)

    def expire(self) -> None:
        """Its time is up."""
        self.ended.append("expired")

    def abort(self) -> None:
        """It makes room."""
        self.ended.append("aborted")


def bounds(*, total: int, each: int) -> HttpConfig:
    """So many places."""
    return http_config(Http()).model_copy(update={"max_connections": total, "max_connections_per_peer": each})


def filled(admission: Admission, address: str, count: int, *, waits: bool = True) -> list[Peer]:
    """That many connections of one address."""
    connections = [Peer(waits=waits) for _ in range(count)]
    for connection in connections:
        assert admission.admit(connection, address)
    return connections


def test_the_address_with_most_makes_room() -> None:
    """Of its connections, the one that has waited longest."""
    admission = Admission(bounds(total=5, each=5))
    modest = filled(admission, "192.0.2.1", 1)
    greedy = filled(admission, "192.0.2.2", 4)
    admission.begin_to_wait(greedy[0], "192.0.2.2")
    assert admission.admit(Peer(), "192.0.2.3")
    assert [bool(connection.ended) for connection in greedy] == [False, True, False, False]
    assert not modest[0].ended
    assert len(admission) == 5
    assert admission.refused["evicted"] == 1


def test_one_address_has_its_own_cap() -> None:
    """Beyond it, its own connections make room; this machine has none."""
    admission = Admission(bounds(total=20, each=3))
    other = filled(admission, "192.0.2.1", 3)
    own = filled(admission, "192.0.2.2", 4)
    assert own[0].ended == ["aborted"]
    assert not any(connection.ended for connection in other)
    local = filled(admission, LOCAL, 10)
    assert not any(connection.ended for connection in local)


def test_who_works_never_makes_room() -> None:
    """Then the newcomer is turned away."""
    admission = Admission(bounds(total=3, each=3))
    working = filled(admission, LOCAL, 3, waits=False)
    assert not admission.admit(Peer(), "192.0.2.1")
    assert not any(connection.ended for connection in working)
    assert admission.refused["full"] == 1
    admission.leave(working[0], LOCAL)
    assert admission.admit(Peer(), "192.0.2.1")


def test_a_sweep_ends_what_is_overdue() -> None:
    """And nothing else."""
    admission = Admission(bounds(total=5, each=5))
    early, late = filled(admission, LOCAL, 2)
    late.deadline = 200.0
    admission.sweep(150.0)
    assert (early.ended, late.ended) == (["expired"], [])


def test_a_connection_that_cannot_be_ended_stops_nobody_s_clock() -> None:
    """It is cut off, and the others end in their time."""

    class Stubborn(Peer):
        def expire(self) -> None:
            raise OSError

    admission = Admission(bounds(total=5, each=5))
    stubborn = Stubborn()
    assert admission.admit(stubborn, LOCAL)
    (other,) = filled(admission, LOCAL, 1)
    admission.sweep(150.0)
    assert (stubborn.ended, other.ended) == (["aborted"], ["expired"])


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (None, LOCAL),
        ("127.0.0.1", LOCAL),
        ("127.8.8.8", LOCAL),
        ("::1", LOCAL),
        ("::ffff:127.0.0.1", LOCAL),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
        ("2001:db8:1:2::9", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
    ],
)
def test_a_network_of_64_bits_is_one_peer(address: str | None, peer: str) -> None:
    """An IPv6 host has as many addresses as it likes."""
    assert peer_of(address) == peer
