"""What Prometheus and Alertmanager are given; their own tools judge the same files in test_promtool."""

from __future__ import annotations

from typing import Any

import yaml

from genesis_stack.layout import Layout
from genesis_stack.render.monitoring import cases_file, monitoring_files
from genesis_stack.spec.model import Stack
from monitoring.stacks import EVERY_WAY, stack

SECRETS = ("slack-hook", "mail", "pager", "hook-token")


def rendered(about: Stack) -> dict[str, Any]:
    """Documents by file name."""
    files = monitoring_files(about, Layout.system(), "root", lambda name: f"/secrets/{name}")
    return {str(file.path): yaml.safe_load(file.content) for file in files}


def alertmanager(text: str) -> dict[str, Any]:
    """Its configuration."""
    found: dict[str, Any] = rendered(stack(alertmanager=text))[
        "/etc/genesis-stack/monitoring/alertmanager.yml"
    ]
    return found


def test_secrets_are_files_and_nothing_else() -> None:
    """The configuration names each secret's file; who is never told has no secret read."""
    text = yaml.safe_dump(alertmanager(EVERY_WAY))
    assert all(f"_file: /secrets/{name}" in text for name in SECRETS)
    assert "hidden" not in text


def test_the_watchdog_has_a_receiver_of_its_own() -> None:
    """It is asked first, so that no other route takes it; without a receiver nobody hears it."""
    assert alertmanager(EVERY_WAY)["route"]["routes"][0]["receiver"] == "beat"
    silent = alertmanager("{receivers: {a: {webhook: {url: 'http://127.0.0.1:1/'}}}}")
    nobody = silent["route"]["routes"][0]["receiver"]
    assert [one for one in silent["receivers"] if one["name"] == nobody] == [{"name": nobody}]


def test_routes_match_what_the_stack_says() -> None:
    """Severities, models and alerts, each any of several."""
    route = alertmanager(EVERY_WAY)["route"]["routes"][1]
    assert route == {
        "receiver": "night",
        "matchers": ['severity=~"page|ticket"', 'model=~"a"', 'alertname=~"ServerDown"'],
        "continue": True,
    }


def test_a_server_that_is_down_speaks_for_its_other_alerts() -> None:
    """For this instance alone."""
    rule = alertmanager(EVERY_WAY)["inhibit_rules"][0]
    assert rule["source_matchers"] == ['alertname="ServerDown"']
    assert rule["equal"] == ["stack", "instance", "model"]


def test_every_server_is_a_target_under_its_models_name() -> None:
    """And the exporter of the host."""
    config = rendered(stack())["/etc/genesis-stack/monitoring/prometheus.yml"]
    servers, host = config["scrape_configs"]
    assert [one["labels"]["model"] for one in servers["static_configs"]] == ["a", "b"]
    assert servers["static_configs"][1]["targets"] == ["127.0.0.1:8001"]
    assert host["static_configs"][0]["targets"] == ["127.0.0.1:9180"]


def test_a_prometheus_that_runs_already_gets_rules_and_targets() -> None:
    """In its own directories, with every label that the rules ask for."""
    about = stack(prometheus="{mode: external, rules_dir: /srv/rules, scrape_dir: /srv/targets}")
    found = rendered(about)
    assert list(found) == ["/srv/rules/test.rules.yml", "/srv/targets/test.targets.yml"]
    first = found["/srv/targets/test.targets.yml"][0]
    assert first["labels"] == {"job": "genesis", "stack": "test", "model": "a"}
    cases = cases_file(about, Layout.system())
    assert cases is not None
    assert yaml.safe_load(cases.content)["rule_files"] == ["test.rules.yml"]


def test_an_alertmanager_elsewhere_is_reached_by_its_url() -> None:
    """Scheme, port and path."""
    for url, expected in {
        "https://am.example.org/x/": ("https", "/x", "am.example.org:443"),
        "http://10.0.0.1:9093": ("http", None, "10.0.0.1:9093"),
        "http://[::1]:9093/": ("http", None, "[::1]:9093"),
    }.items():
        about = stack(alertmanager=f"{{mode: external, url: '{url}'}}")
        config = rendered(about)["/etc/genesis-stack/monitoring/prometheus.yml"]
        (entry,) = config["alerting"]["alertmanagers"]
        target = entry["static_configs"][0]["targets"][0]
        assert (entry["scheme"], entry.get("path_prefix"), target) == expected


def test_a_stack_without_monitoring_has_nothing_to_run() -> None:
    """First light stays light."""
    about = stack()
    bare = about.model_copy(update={"monitoring": type(about.monitoring)()})
    assert rendered(bare) == {}
    assert cases_file(bare, Layout.system()) is None
