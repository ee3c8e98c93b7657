"""What Prometheus's and Alertmanager's own tools say of what is committed and of what stacks render to."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.backends.added_rules import lint_added
from genesis_stack.layout import Layout
from genesis_stack.process import Completed, run
from genesis_stack.render.monitoring import cases_file, monitoring_files
from genesis_stack.spec.load import load
from genesis_stack.spec.model import Stack
from monitoring.stacks import EVERY_WAY, EVERYTHING, PROMISES, stack

pytestmark = pytest.mark.prometheus
ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"


def tool(*words: str | Path) -> Completed:
    """Run one of them; the caller looks at how it ended."""
    return run(words, check=False, timeout=120)


def written(about: Stack, folder: Path) -> Path:
    """The folder with everything that a stack renders to."""
    files = [*monitoring_files(about, Layout.system(), "", lambda name: f"/secrets/{name}")]
    cases = cases_file(about, Layout.system())
    for file in (*files, *([cases] if cases else [])):
        (folder / file.path.name).write_text(file.content)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("promtool", "check", "rules", ALERTS / "genesis.rules.yml"),
        ("promtool", "check", "config", ALERTS / "prometheus.yml"),
        ("amtool", "check-config", ALERTS / "alertmanager.yml"),
    ],
)
def test_what_is_committed_passes_its_own_tool(words: tuple[str | Path, ...]) -> None:
    """Rules, scrape configuration and routes of the reference stack."""
    done = tool(*words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_committed_rule_fires_when_it_must_and_stays_silent_otherwise() -> None:
    """The unit tests that are committed beside the rules."""
    done = tool("promtool", "test", "rules", ALERTS / "genesis.rules.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_of_other_limits_and_intervals_hold_as_well(tmp_path: Path) -> None:
    """Odd scrape interval, generous and tiny limits, every receiver."""
    about = stack(
        slo="{ttft_p95: 250ms, latency_p95: 10m, tokens_per_second: 0.5, error_rate: 20%}",
        prometheus="{scrape_interval: 7s}",
        alertmanager=EVERY_WAY,
        alerts="{QueueSaturated: {threshold: 33%}, AuthFailureSpike: {threshold: 1, for: 0s}}",
        more=EVERYTHING,
    )
    folder = written(about, tmp_path)
    for words in (
        ("promtool", "check", "config", folder / "prometheus.yml"),
        ("amtool", "check-config", folder / "alertmanager.yml"),
        ("promtool", "test", "rules", folder / "genesis.rules.test.yml"),
    ):
        done = tool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("expression", "broken"),
    [
        ("== 0", "== 2"),  # ServerDown and others never fire
        ("> 10\n", "> 1e9\n"),  # HighLatency never fires
        ("< 20\n", "< 1e9\n"),  # LowThroughput fires also when it is quick
        ("genesis_http_requests_total", "genesis_http_requests"),  # a name that nobody exports
    ],
)
def test_a_broken_rule_fails_its_tests(tmp_path: Path, expression: str, broken: str) -> None:
    """Otherwise the tests would prove nothing."""
    about = stack(slo=PROMISES)
    alone = about.model_copy(update={"models": {"a": about.models["a"]}})
    folder = written(alone, tmp_path)
    rules = folder / "genesis.rules.yml"
    assert expression in rules.read_text()
    rules.write_text(rules.read_text().replace(expression, broken))
    assert tool("promtool", "test", "rules", folder / "genesis.rules.test.yml").returncode != 0


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=Watchdog", "severity=page", "model=a"), "beat"),
        (("alertname=ServerDown", "severity=page", "model=a"), "night"),
        (("alertname=ServerDown", "severity=page", "model=b"), "ops"),
        (("alertname=HighLatency", "severity=ticket", "model=a"), "ops"),
    ],
)
def test_alerts_reach_the_receiver_that_the_stack_names(
    tmp_path: Path, labels: tuple[str, ...], receiver: str
) -> None:
    """As Alertmanager itself routes them."""
    config = written(stack(alertmanager=EVERY_WAY), tmp_path) / "alertmanager.yml"
    done = tool("amtool", "config", "routes", "test", f"--config.file={config}", *labels)
    assert done.stdout.strip() == receiver


def test_an_added_alert_that_does_not_parse_is_shown_at_its_place(tmp_path: Path) -> None:
    """Line and column in the stack, in promtool's words."""
    path = tmp_path / "stack.yaml"
    text = (ROOT / "stack.yaml").read_text()
    path.write_text(text.replace("\nalerts:\n", "\nalerts:\n  Mine: {expr: 'rate(foo[5m]) > bar >'}\n"))
    line = path.read_text()[: path.read_text().index("  Mine:")].count("\n") + 1
    (problem,) = lint_added(path, load(path))
    assert (problem.line, problem.column, problem.path) == (line, 16, "alerts.Mine.expr")
    assert "unexpected end of input" in problem.what
