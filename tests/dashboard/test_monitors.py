"""Prometheus and Alertmanager that say what the real ones would not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard.stranger import answering
from genesis_stack.dashboard.asking import UnansweredError, client
from genesis_stack.dashboard.monitors import Alerts, Monitors


async def alerts(monitors: Monitors) -> Alerts:
    """What they say of alerts."""
    async with client(servers=False) as http:
        return await monitors.alerts(http)


ANSWERS = [
    "<html>",
    "[1]",
    "{}",
    "null",
    '{"data": {"alerts": [{"labels": 1}], "result": [7]}}',
    '[{"status": {}}]',
]


@pytest.mark.parametrize("body", ANSWERS)
async def test_who_is_something_else_is_told_apart(body: str) -> None:
    """A problem with the address in it, never a crash and never "no alerts"."""
    with answering(body) as url:
        for monitors in (Monitors(url, None), Monitors(None, url)):
            found = await alerts(monitors)
            assert url in found.problem
            assert found.watchdog is None
        async with client(servers=False) as http:
            with pytest.raises(UnansweredError):
                await Monitors(url, None).instant(http, "up", 0.0)
            with pytest.raises(UnansweredError):
                await Monitors(url, None).range(http, "up", 0.0, 60.0, 15.0)


async def test_an_address_that_is_none_is_a_problem_like_any_other() -> None:
    """It may come from a stack."""
    assert "port" in (await alerts(Monitors("http://localhost:http", None))).problem


async def test_a_refusal_is_shown_with_its_status() -> None:
    """And cut: it may be a page."""
    with answering("x" * 10_000, 503) as url:
        found = await alerts(Monitors(url, None))
    assert "503" in found.problem
    assert len(found.problem) < 400


async def test_alertmanager_is_believed_before_prometheus() -> None:
    """It knows what is silenced; what is firing at neither is none."""
    one: dict[str, Any] = {
        "labels": {"alertname": "ServerDown", "severity": "page", "model": "smol"},
        "annotations": {"summary": "smol is down"},
        "startsAt": "2026-01-02T03:04:05.678Z",
        "status": {"state": "suppressed"},
    }
    watchdog = one | {"labels": {"alertname": "Watchdog"}, "status": {"state": "active"}}
    with answering(json.dumps([one, watchdog])) as url:
        found = await alerts(Monitors("http://127.0.0.1:9", url))
    assert [(item.name, item.state, item.summary) for item in found.items] == [
        ("ServerDown", "silenced", "smol is down")
    ]
    assert found.watchdog is True
    assert "Prometheus at http://127.0.0.1:9: " in found.problem
