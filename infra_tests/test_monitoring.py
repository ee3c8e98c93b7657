"""Whoever watches is awake, and tells whom it should."""

from __future__ import annotations

from typing import Final

import pytest

from genesis_stack.render.monitoring.programs import unit_name
from genesis_stack.spec.monitoring import Alertmanager, Prometheus
from genesis_stack.verify import monitors
from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence

DELIVERED: Final = "alertmanager_notifications_total"
FAILED: Final = "alertmanager_notifications_failed_total"


def own_prometheus(machine: Machine) -> Prometheus:
    """The stack's Prometheus."""
    found = monitors.managed_prometheus(machine.stack)
    if found is None:
        pytest.skip("the stack has no Prometheus of its own")
    return found


def own_alertmanager(machine: Machine) -> Alertmanager:
    """The stack's Alertmanager."""
    found = monitors.managed_alertmanager(machine.stack)
    if found is None:
        pytest.skip("the stack has no Alertmanager of its own")
    return found


def answering(machine: Machine, name: str, program: str) -> None:
    """Leave a check out whose program does not run: that is found by itself."""
    if machine.facts.unit(unit_name(f"monitor.{program}")).get("ActiveState") != "active":
        pytest.skip(f"{program} does not run")
    assert machine.monitors[name].status == 200, str(machine.monitors[name])


@pytest.mark.parametrize("program", ["prometheus", "alertmanager", "exporter"])
def test_monitor_runs(machine: Machine, program: str, evidence: Evidence) -> None:
    """What watches runs, and comes back after a boot."""
    if program == "alertmanager":
        own_alertmanager(machine)
    elif program == "prometheus":
        own_prometheus(machine)
    elif machine.stack.monitoring.prometheus is None:
        pytest.skip("the stack is not watched")
    unit = machine.facts.unit(unit_name(f"monitor.{program}"))
    evidence(program, unit)
    assert unit.get("ActiveState") == "active", f"{program} is {unit.get('ActiveState')}"
    assert unit.get("UnitFileState") == "enabled", f"{program} is {unit.get('UnitFileState')}"


def test_targets_up(machine: Machine, evidence: Evidence) -> None:
    """Prometheus reaches every server and the host's exporter."""
    prometheus = own_prometheus(machine)
    answering(machine, "targets", "prometheus")
    expected = monitors.expected_targets(machine.stack, prometheus)
    health = monitors.health_of_targets(machine.settled("targets", monitors.all_scraped(expected)))
    evidence("targets", health)
    wrong = [
        f"{target} is {health.get(target, 'not scraped')}"
        for target in sorted(expected)
        if health.get(target) != "up"
    ]
    assert not wrong, "; ".join(wrong)


def test_rules_loaded(machine: Machine, evidence: Evidence) -> None:
    """Every declared alert is loaded and can be evaluated."""
    prometheus = own_prometheus(machine)
    answering(machine, "rules", "prometheus")
    loaded = monitors.loaded_rules(machine.monitors["rules"])
    evidence("rules", loaded)
    missing = sorted(monitors.expected_rules(machine.stack, prometheus) - loaded.keys())
    assert not missing, f"not loaded: {', '.join(missing)}"
    broken = sorted(name for name, health in loaded.items() if health == "err")
    assert not broken, f"cannot be evaluated: {', '.join(broken)}"


def test_prometheus_tells_alertmanager(machine: Machine, evidence: Evidence) -> None:
    """Prometheus sends its alerts to the stack's Alertmanager."""
    own_prometheus(machine)
    alertmanager = own_alertmanager(machine)
    answering(machine, "alertmanagers", "prometheus")
    found = monitors.known_alertmanagers(machine.settled("alertmanagers", monitors.knows_one))
    evidence("alertmanagers", found)
    assert any(f":{alertmanager.port}/" in url for url in found), "it knows none"


def test_routes(machine: Machine, evidence: Evidence) -> None:
    """Alertmanager tells the declared receivers what they are to hear."""
    alertmanager = own_alertmanager(machine)
    answering(machine, "status", "alertmanager")
    loaded = monitors.loaded_routes(machine.monitors["status"])
    evidence("routes", loaded)
    assert loaded == monitors.expected_routes(alertmanager, machine.stack.gitops), (
        "other routes are in force than the stack declares"
    )


def test_alert_arrives(machine: Machine, request: pytest.FixtureRequest, evidence: Evidence) -> None:
    """A test alert reaches the default receiver."""
    alertmanager = own_alertmanager(machine)
    if not request.config.getoption("--test-alert"):
        pytest.skip("not asked for: --test-alert sends one")
    answering(machine, "status", "alertmanager")
    before, after = machine.send_test_alert(alertmanager)
    told = monitors.counted(after, DELIVERED) - monitors.counted(before, DELIVERED)
    failed = monitors.counted(after, FAILED) - monitors.counted(before, FAILED)
    evidence("notifications", f"{told:g} sent, {failed:g} failed")
    assert told > 0, "Alertmanager sent nothing in time"
    assert failed == 0, f"{failed:g} of {told:g} notifications failed: journalctl -u genesis-alertmanager"
