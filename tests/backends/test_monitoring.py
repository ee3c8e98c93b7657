from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack.backends.interface import LintError, Monitor
from genesis_stack.backends.monitoring import lint_monitoring

GOOD_RULE = "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]\n"
ROUTES = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"

pytestmark = pytest.mark.prometheus


def staged(root: Path, name: str, text: str) -> Path:
    """A generation's files with one of them."""
    path = root / "etc/prometheus" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models.rules.yml", "groups: [{name: g, rules: [{alert: Big, expr: memory > 8GB}]}]\n"),
        ("prometheus.yml", "scrape_configs: [{job: wrong}]\n"),
        ("alertmanager.yml", "route: {receiver: somebody}\nreceivers: [{name: nobody}]\n"),
    ],
)
def test_a_file_that_its_tool_refuses_ends_the_apply(tmp_path: Path, name: str, text: str) -> None:
    """With the file's name and the tool's own words."""
    with pytest.raises(LintError, match=name):
        lint_monitoring(staged(tmp_path, name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [("models.rules.yml", GOOD_RULE), ("alertmanager.yml", ROUTES), ("prometheus.yml", "{}\n")],
)
def test_a_file_that_loads_passes(tmp_path: Path, name: str, text: str) -> None:
    """Nothing is said of a good file."""
    lint_monitoring(staged(tmp_path, name, text))


def test_a_program_that_is_not_installed_ends_the_apply(tmp_path: Path) -> None:
    """With what to install, before a unit could fail."""
    monitor = Monitor("monitor.prometheus", "127.0.0.1", 1, (), (), program="/usr/bin/no-such-prometheus")
    with pytest.raises(LintError, match="apt install no-such-prometheus"):
        lint_monitoring(tmp_path, [monitor])


def test_a_secret_that_is_missing_ends_the_apply(tmp_path: Path) -> None:
    """With the path that it must be written to."""
    secret = PurePosixPath(tmp_path) / "hook"
    monitor = Monitor("monitor.alertmanager", "127.0.0.1", 1, (), (), (secret,), sys.executable)
    with pytest.raises(LintError, match=str(secret)):
        lint_monitoring(tmp_path, [monitor])
    Path(secret).write_text("https://example.org")
    lint_monitoring(tmp_path, [monitor])


def test_a_generation_without_monitoring_passes(tmp_path: Path) -> None:
    """There is nothing to check."""
    lint_monitoring(tmp_path)
