"""What Prometheus hears of the agent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client import CollectorRegistry
from reconcile.fake_backend import BROKEN, FakeBackend

from genesis_stack.backends import Health, Service
from genesis_stack.gitops.agent_metrics import AgentCollector
from genesis_stack.gitops.record import Suspension, write_suspension
from genesis_stack.gitops.repository import RepositoryError
from gitops.followed import NOW, Followed, host_that_follows

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


class MeetingBackend(FakeBackend):
    """Its servers answer only when all of them are asked at the same time."""

    meeting: ClassVar[threading.Barrier | None] = None

    def health(self, service: Service) -> Health:
        """Wait for the others."""
        if self.meeting is not None:
            self.meeting.wait(10)
        return super().health(service)


def test_servers_are_asked_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer takes its two seconds; ten of them must not take twenty from a scrape."""
    models = dict.fromkeys("abcdefgh", "one")
    followed = host_that_follows(tmp_path, models=models, backend=MeetingBackend)
    monkeypatch.setattr(MeetingBackend, "meeting", threading.Barrier(len(models)))
    assert heard(followed) == GOOD


def test_no_stored_file_is_read_to_ask_for_health(followed: Followed) -> None:
    """A generation may have hundreds."""
    (stored,) = followed.layout.generations.rglob("a.json")
    stored.write_text("damaged")
    assert heard(followed) == GOOD


def test_a_suspension_and_what_replaced_the_revision_are_told(followed: Followed) -> None:
    """A rollback by hand leaves the branch."""
    followed.commit({"a": "two"})
    followed.follow()
    write_suspension(followed.layout, Suspension(reason="a test", since=NOW))
    followed.host.rollback(1)
    assert heard(followed) == GOOD | {"sync": 0, "suspended": 1, "generation": 2}
