from __future__ import annotations

import pytest

from genesis_stack.client.config import BreakerPolicy, Endpoint, Routing
from genesis_stack.client.errors import CircuitOpenError, ConfigurationError, ConnectionFailedError
from genesis_stack.client.replicas import Lease, Replicas
from genesis_stack.client.route import Route, chain

ENDPOINTS = [
    Endpoint(url="http://a:1", model="llama", task="text", tags=("general", "planning")),
    Endpoint(url="http://b:1", model="coder", task="text", tags=("code",)),
    Endpoint(url="http://c:1", model="qwen-vl", task="vision", tags=("ocr",)),
    Endpoint(url="http://d:1", model="bge", task="embedding"),
]
REPLICAS = [Endpoint(url=f"http://replica-{number}:1", model="m") for number in range(4)]


@pytest.mark.parametrize(
    ("route", "model"),
    [
        (Route(), "llama"),
        (Route(images=True), "qwen-vl"),
        (Route(task="vision"), "qwen-vl"),
        (Route(task="embedding"), "bge"),
        (Route(tags=("code",)), "coder"),
        (Route(tags=("ocr",)), "qwen-vl"),
        (Route(model="bge"), "bge"),
        (Route(model="llama", images=True), "llama"),
    ],
)
def test_a_request_goes_to_the_model_that_fits(route: Route, model: str) -> None:
    """A name decides; else images need eyes, tags all have to match, and the first one declared wins."""
    assert chain(route, ENDPOINTS, Routing())[0] == model


def test_the_default_model_goes_first_where_it_fits() -> None:
    """And not where it is blind."""
    routing = Routing(default_model="coder")
    assert chain(Route(), ENDPOINTS, routing) == ("coder",)
    assert chain(Route(images=True), ENDPOINTS, routing) == ("qwen-vl",)


def test_fallbacks_follow_and_those_that_cannot_see_get_no_images() -> None:
    """In the order of their declaration."""
    routing = Routing(fallbacks={"llama": ("coder", "qwen-vl"), "qwen-vl": ("llama",)})
    assert chain(Route(), ENDPOINTS, routing) == ("llama", "coder", "qwen-vl")
    assert chain(Route(images=True), ENDPOINTS, routing) == ("qwen-vl",)


@pytest.mark.parametrize("route", [Route(model="gpt"), Route(task="rerank"), Route(tags=("poetry",))])
def test_what_nobody_serves_is_an_error_that_names_what_is_there(route: Route) -> None:
    """And no request."""
    with pytest.raises(ConfigurationError, match="llama, coder, qwen-vl, bge"):
        chain(route, ENDPOINTS, Routing())


def _replicas(**routing: object) -> Replicas:
    return Replicas(REPLICAS, BreakerPolicy(failures=1), Routing.model_validate(routing))


def test_requests_spread_over_the_least_busy() -> None:
    """Eight at once on four servers are two each."""
    replicas = _replicas()
    leases = [replicas.lease("m", None, ()) for _ in range(8)]
    assert sorted(lease.replica.url for lease in leases) == sorted(r.url for r in REPLICAS * 2)


def test_what_begins_alike_stays_together_until_that_is_too_much() -> None:
    """The prefix cache is worth a queue of affinity_slack requests and no more."""
    replicas = _replicas(affinity_slack=2)
    leases = [replicas.lease("m", b"prefix", ()) for _ in range(6)]
    home = leases[0].replica
    assert [lease.replica is home for lease in leases] == [True, True, True, False, False, False]


def test_losing_a_server_moves_only_what_was_at_home_there() -> None:
    """Rendezvous hashing."""
    prefixes = [bytes([number]) for number in range(64)]
    replicas = _replicas()
    before = {prefix: _home(replicas, prefix) for prefix in prefixes}
    assert len(set(before.values())) == 4
    lost = _lost(replicas)
    moved = [prefix for prefix in prefixes if _home(replicas, prefix) != before[prefix]]
    assert all(before[prefix] == lost for prefix in moved)
    assert moved


def test_the_next_attempt_goes_elsewhere_while_there_is_an_elsewhere() -> None:
    """A server that has just failed is asked last."""
    replicas = _replicas()
    tried = set()
    for _ in range(4):
        lease = replicas.lease("m", b"x", tried)
        assert lease.replica not in tried
        tried.add(lease.replica)
        lease.settle(None)
    assert replicas.lease("m", b"x", tried)


def test_when_every_circuit_is_open_the_error_says_until_when() -> None:
    """With the seconds, for programs too."""
    replicas = _replicas()
    for _ in REPLICAS:
        _lost(replicas)
    with pytest.raises(CircuitOpenError, match="every server of m") as caught:
        replicas.lease("m", None, ())
    assert caught.value.retry_after == pytest.approx(60, abs=1)


def _home(replicas: Replicas, prefix: bytes) -> str:
    lease = replicas.lease("m", prefix, ())
    lease.settle(None)
    return lease.replica.url


def _lost(replicas: Replicas) -> str:
    lease: Lease = replicas.lease("m", None, ())
    lease.settle(ConnectionFailedError("gone"))
    return lease.replica.url
