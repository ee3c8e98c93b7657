"""The gate: when a server counts as healthy, and when there is no hope left."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from clock import Clock

from genesis_stack.backends import Backend, Health, ObservedService, Phase
from genesis_stack.reconcile import health as module
from genesis_stack.reconcile.health import REREAD_SECONDS, GateError, gate, see_reread
from reconcile.services import service

READY = Health("ready", "w", "c")
STARTING = Health("starting")
RUNNING = ObservedService(Phase.RUNNING, pid=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one that the gate waits by, begun at 0: to sleep is to move it."""
    clock = Clock()
    clock.now = 0.0

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock, sleep=sleep))
    return clock


def telling(*looks: tuple[ObservedService, Health]) -> Backend:
    """A backend that shows these one after the other, and the last one from then on."""
    shown: Iterator[tuple[ObservedService, Health]] = iter(looks)
    now: list[tuple[ObservedService, Health]] = [looks[-1]]

    def processes(_: object) -> dict[str, ObservedService]:
        now[0] = next(shown, looks[-1])
        return {"a": now[0][0]}

    return cast("Backend", SimpleNamespace(processes=processes, health=lambda _: now[0][1]))


def passed(*looks: tuple[ObservedService, Health]) -> tuple[float, list[str]]:
    """Seconds until it was ready, and what was told meanwhile."""
    told: list[str] = []
    seconds = gate([service()], telling(*looks), lambda _, story: told.append(story))
    return seconds["a"], told


def refused(*looks: tuple[ObservedService, Health]) -> str:
    """Why there is no hope."""
    with pytest.raises(GateError) as caught:
        passed(*looks)
    assert caught.value.model == "a"
    return str(caught.value)


def test_a_server_is_healthy_once_it_stays_so(clock: Clock) -> None:
    """Told when it changes, and no oftener; it counts from when it was ready."""
    seconds, told = passed((RUNNING, STARTING), (RUNNING, STARTING), (RUNNING, READY))
    assert seconds == pytest.approx(0.2)
    assert clock.now == pytest.approx(seconds + service().min_healthy, abs=0.11)
    assert [story.split(",")[0] for story in told] == ["starting", "ready"]


def test_one_that_falters_must_stay_healthy_anew(clock: Clock) -> None:
    """Only a whole stretch counts."""
    passed(*[(RUNNING, READY)] * 5, (RUNNING, STARTING), (RUNNING, READY))
    assert clock.now > 1.5


@pytest.mark.usefixtures("clock")
def test_there_is_no_hope_for_what_failed_or_keeps_dying() -> None:
    """Nobody waits for the deadline then."""
    assert "start failed" in refused((ObservedService(Phase.FAILED), STARTING))
    assert "no such file" in refused((RUNNING, Health("failed", detail="no such file")))
    dying = [(ObservedService(Phase.RUNNING, pid=pid), READY) for pid in range(1, 9)]
    assert "died 3 times" in refused(*dying)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (STARTING, "starting"),
        (Health("ready", "other", "c"), "another server"),
        (Health("draining", detail="asked to end"), "draining asked to end"),
    ],
)
def test_after_its_deadline_it_is_told_what_was_missing(clock: Clock, health: Health, words: str) -> None:
    """A stranger, or an old server, never passes for the new one."""
    assert words in refused((RUNNING, health))
    assert clock.now >= service().deadline


@pytest.mark.usefixtures("clock")
def test_one_that_becomes_ready_too_late_is_told_so() -> None:
    """Its time is over before it has stayed ready."""
    late = int(service().deadline * 10)
    told = refused(*[(RUNNING, STARTING)] * late, (RUNNING, READY))
    assert "ready, but not for" in told


def test_a_server_that_does_not_read_its_clients_again_is_given_up(clock: Clock) -> None:
    """A revoked key must not stay good unnoticed."""
    backend: Any = SimpleNamespace(health=lambda _: Health("ready", access="old"))
    with pytest.raises(GateError, match="clients"):
        see_reread(service(), backend)
    assert clock.now >= REREAD_SECONDS
    backend.health = lambda _: Health("ready", access="")
    see_reread(service(), backend)
