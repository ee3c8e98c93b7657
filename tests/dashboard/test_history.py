from __future__ import annotations

import math
from dataclasses import replace

import pytest

from genesis_stack.backends import Health
from genesis_stack.dashboard.exposition import Histogram
from genesis_stack.dashboard.history import KEPT_SECONDS, History
from genesis_stack.dashboard.reading import Figures, Reading

EMPTY = Histogram((1.0, math.inf), (0.0, 0.0))
IDLE = Figures(100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e6, EMPTY, EMPTY, EMPTY)


def reading(at: float, tokens: float, started: float = 100.0) -> Reading:
    """A look at a server that has generated so many tokens."""
    seen = Histogram((1.0, math.inf), (tokens, tokens))
    figures = replace(IDLE, started=started, generated_tokens=tokens, latency=seen)
    return Reading(at, Health("ready"), figures)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """Neither the average since the start nor what lies longer ago."""
    history = History()
    paces = [history.add(reading(1000 + 2 * step, max(0, step - 10) * 6.0)).generated for step in range(21)]
    assert paces[0] is None
    assert paces[10] == 0
    assert paces[20] == pytest.approx(3.0)


def test_percentiles_are_of_the_last_minute() -> None:
    """Older requests are forgotten, and without any there is no percentile."""
    history = History()
    history.add(reading(1000, 0))
    assert history.add(reading(1002, 4)).latency.p50 == pytest.approx(0.5)
    assert history.add(reading(1070, 4)).latency.p50 is None


def test_a_restart_breaks_the_lines_and_invents_nothing() -> None:
    """Counters that begin anew are no negative rate, and no burst."""
    history = History()
    history.add(reading(1000, 500))
    assert history.add(reading(1002, 3, started=1001.0)).generated is None
    assert history.add(reading(1004, 5, started=1001.0)).generated == pytest.approx(1.0)


def test_a_server_that_is_down_leaves_a_gap() -> None:
    """Its lines break, and go on when it is back."""
    history = History()
    history.add(reading(1000, 10))
    pace = history.add(Reading(1002, Health("unreachable"), problem="gone"))
    assert (pace.generated, pace.latency.p95) == (None, None)
    assert set(history.points[-1][1].values()) == {None}
    assert history.add(reading(1004, 14)).generated == pytest.approx(1.0)


def test_memory_is_bounded() -> None:
    """Points older than the plots show are let go."""
    history = History()
    for step in range(1000):
        history.add(reading(1000 + 2 * step, step))
    times = [at for at, _ in history.points]
    assert times[-1] - times[0] == KEPT_SECONDS
