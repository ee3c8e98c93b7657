"""What one request holds of its client's limits: counted once, given back once."""

from __future__ import annotations

import pytest
from clock import Clock

from genesis_stack.protocol.access import ClientPolicy
from genesis_stack.protocol.headers import RETRY_AFTER
from genesis_stack.server.limits import Lease, LimitedError, Limits

POLICY = ClientPolicy(
    models=(),
    requests_per_minute=60,
    tokens_per_minute=100,
    concurrent=2,
    require_signature=False,
    guard="off",
    slots={},
)


@pytest.fixture
def limits() -> Limits:
    """Of a server whose time stands still."""
    return Limits(Clock())


def begun(limits: Limits) -> Lease:
    """One more request of the client."""
    lease = limits.lease("alice", POLICY)
    lease.begin()
    return lease


def remaining(lease: Lease) -> int:
    """Tokens that its client is told are left."""
    return int(dict(lease.fields())[b"x-ratelimit-remaining-tokens"])


def test_a_request_gives_its_place_back_once(limits: Limits) -> None:
    """However often it is released, and never one that it did not take."""
    first, second = begun(limits), begun(limits)
    limits.lease("alice", POLICY).release()
    with pytest.raises(LimitedError) as caught:
        begun(limits)
    assert (caught.value.limit, caught.value.headers[RETRY_AFTER]) == ("concurrent", "1")
    first.release()
    first.release()
    third = begun(limits)
    with pytest.raises(LimitedError):
        begun(limits)
    second.release()
    third.release()
    begun(limits)
    begun(limits)


def test_several_reservations_go_back_together(limits: Limits) -> None:
    """A request may set aside more than once; what it did not use is its client's again."""
    lease = begun(limits)
    lease.reserve(60)
    lease.reserve(40)
    assert remaining(lease) == 0
    with pytest.raises(LimitedError) as caught:
        lease.reserve(1)
    assert caught.value.limit == "tokens"
    lease.settle(30)
    assert remaining(lease) == 70
    lease.release()
    assert remaining(lease) == 70
