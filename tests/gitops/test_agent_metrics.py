"""What Prometheus hears of the agent."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from reconcile.fake_backend import BROKEN

from genesis_stack.gitops.agent_metrics import AgentCollector
from genesis_stack.gitops.record import Suspension, write_suspension
from genesis_stack.gitops.repository import RepositoryError
from gitops.followed import NOW, Followed

GOOD = {
    "sync": 1,
    "health": 1,
    "last_fetch_failed": 0,
    "last_apply_failed": 0,
    "revision_refused": 0,
    "suspended": 0,
    "generation": 1,
}


def heard(followed: Followed) -> dict[str, float | None]:
    """The gauges without labels, by what follows `genesis_agent_`."""
    registry = CollectorRegistry()
    registry.register(AgentCollector(followed.host))
    return {name: registry.get_sample_value(f"genesis_agent_{name}") for name in GOOD}


def test_all_is_well(followed: Followed) -> None:
    """And the revision in force is told."""
    assert heard(followed) == GOOD
    registry = CollectorRegistry()
    registry.register(AgentCollector(followed.host))
    labels = {"applied": followed.record.applied or "", "seen": followed.record.seen or ""}
    assert registry.get_sample_value("genesis_agent_revision_info", labels) == 1


def test_a_host_that_follows_nothing_says_nothing(fresh: Followed) -> None:
    """So that no alert about an agent can fire there."""
    assert set(heard(fresh).values()) == {None}


def test_a_refused_revision_is_told_apart_from_a_failed_one(followed: Followed) -> None:
    """One wakes somebody, the other waits for the day."""
    followed.commit({"a": "two"}, signer="stranger")
    followed.follow()
    assert heard(followed) == GOOD | {"sync": 0, "revision_refused": 1}
    followed.allow("ops", "stranger")
    followed.commit({"a": BROKEN})
    followed.follow()
    assert heard(followed) == GOOD | {"sync": 0, "last_apply_failed": 1}


def test_a_repository_that_is_away_is_told(followed: Followed) -> None:
    """What is in force is still in force."""
    followed.remote.rename(followed.remote.with_name("away"))
    with pytest.raises(RepositoryError):
        followed.follow()
    assert heard(followed) == GOOD | {"last_fetch_failed": 1}


def test_a_suspension_and_what_replaced_the_revision_are_told(followed: Followed) -> None:
    """A rollback by hand leaves the branch."""
    followed.commit({"a": "two"})
    followed.follow()
    write_suspension(followed.layout, Suspension(reason="a test", since=NOW))
    followed.host.rollback(1)
    assert heard(followed) == GOOD | {"sync": 0, "suspended": 1, "generation": 2}
