"""Beside a real Prometheus and Alertmanager that the stack itself runs."""

from __future__ import annotations

import json
import re
import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitoring.watched import Watched, receiver
from waiting import until

from dashboard.machine import Machine
from genesis_stack.render.grafana import dashboard, queries
from genesis_stack.spec.load import load

pytestmark = [pytest.mark.prometheus, pytest.mark.model]

PRICES = """
cost:
  currency: EUR
  host_per_month: 10
  cloud: {smol: {input_per_million: 2, output_per_million: 8}}
"""
CHATS = 3
TOKENS = 12


@pytest.fixture(scope="module")
def machine(smollm2: Path) -> Iterator[Watched]:
    """One model that was asked a little, and those who watch it."""
    with tempfile.TemporaryDirectory(prefix="gs-") as folder, receiver() as (url, told):
        machine = Watched(Path(folder), smollm2, url, told)
        try:
            done = machine.apply(extra=PRICES)
            assert done.returncode == 0, done.stderr
            until(lambda: counted(machine) == 0, "a scrape")
            assert [machine.chat(TOKENS) for _ in range(CHATS)] == [200] * CHATS
            until(lambda: counted(machine) == CHATS * TOKENS, lambda: counted(machine))
            yield machine
        finally:
            machine.pool.shutdown()
            machine.cli("destroy", "--yes")


@pytest.fixture(scope="module")
def url(machine: Watched) -> Iterator[str]:
    """Its dashboard."""
    with Machine(machine.root, machine.weights, ()).dashboard() as url:
        yield url


def counted(machine: Watched) -> float | None:
    """Tokens generated, as Prometheus knows them."""
    found = machine.query("query", query="genesis_completion_tokens_sum")["result"]
    return float(found[0]["value"][1]) if found else None


def fetch(url: str) -> Any:
    """JSON from the dashboard."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def test_grafana_plots_nothing_that_nobody_exports(machine: Watched) -> None:
    """Every query is evaluated, and every name in it is that of a metric that is scraped."""
    exported = set(machine.query("label/__name__/values"))
    for name, kinds in machine.query("metadata").items():  # families that have no sample yet
        exported |= {name, f"{name}_total"} if kinds[0]["type"] == "counter" else {name}
    exported |= {"ALERTS", "up"}
    exported.add("genesis_memory_cgroup_bytes")  # only of a server with a control group of its own
    for query in queries(dashboard(load(machine.root / "stack.yaml"))):
        query = query.replace("$__rate_interval", "1m")  # noqa: PLW2901 -- as Grafana does
        machine.query("query", query=query)
        bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)", "", query)
        names = set(re.findall(r"\b(?:genesis_|llamacpp:)\w+|\bALERTS\b|\bup\b", bare))
        assert names
        assert names <= exported, query


def test_alerts_are_shown_as_they_fire(machine: Watched, url: str) -> None:
    """Nothing in health but the watchdog that is heard; a server that hangs is soon told of."""
    until(lambda: fetch(f"{url}/api/view")["alerts"]["watchdog"], lambda: fetch(f"{url}/api/view"))
    assert fetch(f"{url}/api/view")["alerts"]["source"].startswith("Alertmanager at ")

    def firing() -> list[str]:
        found = fetch(f"{url}/api/view")["alerts"]["items"]
        return [one["name"] for one in found if one["state"] == "firing" and one["model"] == "smol"]

    assert firing() == []
    machine.signal(signal.SIGSTOP)
    try:
        until(lambda: "ServerDown" in firing(), lambda: fetch(f"{url}/api/view"), seconds=60)
        (model,) = fetch(f"{url}/api/view")["models"]
        assert (model["state"], "2 s" in model["problem"]) == ("down", True)
    finally:
        machine.signal(signal.SIGCONT)
    until(lambda: not firing(), firing, seconds=60)


def test_longer_plots_come_from_prometheus(machine: Watched, url: str) -> None:
    """They end with what the server says now, and have gaps where nothing was scraped."""
    until(lambda: fetch(f"{url}/api/view")["models"], "a view")
    past = fetch(f"{url}/api/past?span=6h")["models"]["smol"]
    memory = past["lines"]["memory/resident"]
    assert {len(line) for line in past["lines"].values()} == {len(past["times"])}
    assert past["times"][-1] - past["times"][0] == 6 * 3600
    assert memory[0] is None
    assert any(value for value in past["lines"]["tokens/generated"] if value)
    resident = machine.query("query", query="genesis_memory_resident_bytes")["result"][0]["value"][1]
    newest = next(value for value in reversed(memory) if value is not None)
    assert newest == pytest.approx(float(resident), rel=0.2)


def test_cost_counts_this_month_from_prometheus(machine: Watched) -> None:
    """At the declared prices; a stack that has run for a minute is not projected."""
    done = machine.cli("cost", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["source"].startswith("Prometheus at ")
    (bill,) = found["bills"]
    served = bill["served"]
    assert served["completion"] == pytest.approx(CHATS * TOKENS, rel=0.1)
    new, cached = served["prompt"] - served["cached"], served["cached"]
    assert found["elsewhere"] == pytest.approx(((new + cached) * 2 + served["completion"] * 8) / 1e6)
    assert found["saved"] == pytest.approx(found["elsewhere"] - found["host"])
    assert (found["currency"], found["year"]) == ("EUR", None)
    assert 0 < found["until"] - served["since"] < 600
