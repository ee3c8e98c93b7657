"""The servers of the models: how busy each is, whether it is well, and which one gets the next request."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Sequence

from genesis_stack.client.breaker import Breaker, BreakerState, Permit
from genesis_stack.client.config import BreakerPolicy, Endpoint, Routing
from genesis_stack.client.errors import CircuitOpenError, LocalLLMError

_log = logging.getLogger("genesis_stack.client")


class Replica:
    """One server of one model, with what this client knows about it."""

    def __init__(self, endpoint: Endpoint, model: str, policy: BreakerPolicy) -> None:
        self.endpoint = endpoint
        self.url = endpoint.url
        self.model = model
        self.breaker = Breaker(failures=policy.failures, open_for=policy.open_for)
        self.outstanding = 0
        self.verified: str | None = None
        """The fingerprint under which its weights were found to be the declared ones."""

    def lease(self) -> Lease | None:
        """The right to send one request there; None while its circuit is open."""
        permit = self.breaker.admit()
        return None if permit is None else Lease(self, permit)


class Lease:
    """One request under way at a replica; it ends once, with what was learnt."""

    __slots__ = ("_permit", "replica")

    def __init__(self, replica: Replica, permit: Permit) -> None:
        self.replica = replica
        self._permit: Permit | None = permit
        replica.outstanding += 1

    def answering(self) -> None:
        """The first token of a stream is there; it goes on."""
        if self._permit is not None:
            self._permit.answering()

    def settle(self, failure: BaseException | None) -> None:
        """End it: failures count, refusals are answers, a cancellation says nothing about the server."""
        permit, self._permit = self._permit, None
        if permit is None:
            return
        self.replica.outstanding -= 1
        if failure is None or (isinstance(failure, LocalLLMError) and not failure.trips_breaker):
            permit.succeed()
        elif isinstance(failure, LocalLLMError):
            permit.fail()
            self._announce()
        else:
            permit.give_back()

    def _announce(self) -> None:
        if self.replica.breaker.state is BreakerState.OPEN:
            seconds = self.replica.breaker.retry_after
            _log.warning("circuit of %s is open for %.0f s", self.replica.url, seconds)


class Replicas:
    """All servers, by model."""

    def __init__(self, endpoints: Sequence[Endpoint], breaker: BreakerPolicy, routing: Routing) -> None:
        self._routing = routing
        self._by_model: dict[str, list[Replica]] = {}
        for endpoint in endpoints:
            if endpoint.model is not None:
                replica = Replica(endpoint, endpoint.model, breaker)
                self._by_model.setdefault(endpoint.model, []).append(replica)

    def every(self) -> list[Replica]:
        """All of them, in the order of declaration within a model."""
        return [replica for replicas in self._by_model.values() for replica in replicas]

    def others(self, model: str, tried: Collection[Replica]) -> bool:
        """Whether a server of the model is left that would take a request and was not tried."""
        return any(replica.breaker.admits and replica not in tried for replica in self._by_model[model])

    def lease(self, model: str, prefix: bytes | None, tried: Collection[Replica]) -> Lease:
        """The right to send a request to the best server of a model; servers that were tried come last.

        Raises:
            CircuitOpenError: every server of the model is left alone for now.
        """
        replicas = self._by_model[model]
        able = [replica for replica in replicas if replica.breaker.admits]
        fresh = [replica for replica in able if replica not in tried]
        if able:
            lease = self._best(fresh or able, prefix).lease()
            assert lease is not None  # noqa: S101 -- it admits, and nothing awaited since
            return lease
        after = max(0.0, min(replica.breaker.retry_after for replica in replicas))
        message = f"every server of {model} failed too often; the next is asked in {after:.0f} s"
        raise CircuitOpenError(message, retry_after=after, model=model)

    def _best(self, replicas: Sequence[Replica], prefix: bytes | None) -> Replica:
        """The one that has the prefix in its cache, unless it is too busy; the least busy one otherwise."""
        idlest = min(replicas, key=lambda replica: replica.outstanding)
        if prefix is None or not self._routing.affinity or len(replicas) == 1:
            return idlest
        home = max(replicas, key=lambda replica: _weight(prefix, replica))
        busier = home.outstanding - idlest.outstanding
        return home if busier <= self._routing.affinity_slack else idlest


def _weight(prefix: bytes, replica: Replica) -> bytes:
    """Rendezvous hashing: the loss of one server moves only what was at home there."""
    return hashlib.blake2b(prefix + replica.url.encode(), digest_size=8).digest()
