"""A good host, looked at in every way: no alarm, and nothing changed by looking."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import GENESIS_STACK

from verify.pair import STACK, Pair
from verify.sabotages import violated

pytestmark = [pytest.mark.host, pytest.mark.model]
OF_MONITORS = {
    "alert_arrives",
    "monitor_runs",
    "prometheus_tells_alertmanager",
    "routes",
    "rules_loaded",
    "targets_up",
}
"""Checks of what this host does not have; test_monitoring.py has a host that is watched."""
KEY = "/etc/genesis-stack/verify.key"


@pytest.fixture
def verifier(pair: Pair) -> Iterator[None]:
    """A key of the client that verifies, where `verify` looks for it."""
    pair.host.write(KEY, pair.key, mode=0o600)
    yield
    pair.host.run(["rm", KEY])


@pytest.fixture
def ssh_config(pair: Pair, tmp_path: Path) -> Path:
    """The way there by ssh."""
    return pair.ssh_config(tmp_path)


@pytest.mark.usefixtures("verifier")
def test_every_check_holds_over_ssh(pair: Pair, ssh_config: Path, tmp_path: Path) -> None:
    """From another machine, with a key: nothing violated, and nothing left out but what cannot be here."""
    junit, html = tmp_path / "junit.xml", tmp_path / "report.html"
    report = pair.verify_over_ssh(ssh_config, "--junit", junit, "--html", html)
    assert list(violated(report)) == []
    left_out = {one["check"] for one in report["findings"] if one["outcome"] == "not checked"}
    assert left_out == {"clock_is_synchronized", "image", "embedding"} | OF_MONITORS
    suite = ET.parse(junit).getroot()[0]  # noqa: S314 -- pytest wrote it
    assert int(suite.get("tests", 0)) == len(report["findings"])
    assert int(suite.get("skipped", 0)) == report["counts"]["not checked"]
    page = html.read_text()
    assert "NoNewPrivs" in page
    assert "src=" not in page
    assert "href=" not in page


@pytest.mark.usefixtures("verifier")
def test_no_secret_is_told(pair: Pair, ssh_config: Path, tmp_path: Path) -> None:
    """The key that verifies is in no report, whatever was read."""
    html = tmp_path / "report.html"
    report = pair.verify_over_ssh(ssh_config, "--html", html)
    secret = pair.key.strip().rpartition("_")[2]
    assert secret not in json.dumps(report)
    assert secret not in html.read_text()


def test_looking_changes_nothing(pair: Pair) -> None:
    """No unit, no file and no process is other than before; a second look sees the same."""
    before = _state_of(pair)
    assert list(violated(pair.verify())) == []
    pair.host.wait_for(lambda: _state_of(pair) == before, what="the same state as before")
    assert list(violated(pair.verify())) == []


def _state_of(pair: Pair) -> tuple[str, ...]:
    """Units with their states, files of ours, and process ids of the servers."""
    units = pair.host.systemctl(
        "list-units", "--all", "--plain", "--no-legend", "text-*", "plan-*", "run-*"
    ).stdout
    files = ["/etc/genesis-stack", "/etc/systemd/system", "/run/systemd/system", "/var/lib/genesis-stack"]
    listed = pair.host.run(["find", *files, "-printf", "%p %m %s %T@\n"]).stdout
    return (
        units,
        listed,
        *(pair.host.show(f"{model}-server", "MainPID")["MainPID"] for model in ("text", "plan")),
    )


def test_plain_pytest_says_the_same(pair: Pair) -> None:
    """Without genesis-stack's own verb, as any project that uses testinfra would."""
    folder = Path(__file__).parents[2] / "infra_tests"
    words = [sys.executable, "-m", "pytest", folder, "-q", "--stack", STACK, "--hosts", "local://"]
    done = pair.host.run(words, check=False, timeout=600)
    assert done.returncode == 0, done.stdout
    assert " failed" not in done.stdout


def test_a_host_that_does_not_answer_is_an_error(pair: Pair, tmp_path: Path) -> None:
    """Nothing was verified, so nothing is said to hold or to be violated."""
    stack = tmp_path / "stack.yaml"
    stack.write_text(pair.host.read(STACK))
    config = tmp_path / "config"
    config.write_text("Host pair\n  ProxyCommand false\n")
    words = ["verify", stack, "--host", "ssh://pair", "--ssh-config", config]
    done = subprocess.run([GENESIS_STACK, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert done.stdout == ""
