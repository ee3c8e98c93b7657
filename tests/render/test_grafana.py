from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from genesis_stack.cli.render import render
from genesis_stack.errors import ExitCode
from genesis_stack.process import run
from genesis_stack.render.grafana import NAME, dashboard, queries
from genesis_stack.spec.load import load

STACK = f"""
api_version: genesis.stack/v1
name: plotted
monitoring: {{prometheus: {{}}}}
models:
  smol:
    port: 8000
    weights: {{source: "hf://owner/smol/model.gguf", sha256: {"a" * 64}}}
    budget: {{memory: 1GiB, cpus: 1}}
    slo: {{ttft_p95: 3s, latency_p95: 10s}}
  other:
    port: 8001
    weights: {{source: "hf://owner/smol/model.gguf", sha256: {"b" * 64}}}
    budget: {{memory: 2GiB, cpus: 1}}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack of two models, one with promises, and a Prometheus."""
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    return path


def limits(board: dict[str, Any], row: str) -> dict[str, float]:
    """Limits of the panels below a row, by title."""
    rows = iter(board["panels"])
    next(panel for panel in rows if panel["type"] == "row" and panel["title"] == row)
    found = {}
    for panel in rows:
        if panel["type"] == "row":
            break
        if steps := panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps"):
            found[panel["title"]] = steps[-1]["value"]
    return found


def test_promises_and_budgets_of_the_stack_are_the_limits_of_its_plots(stack: Path) -> None:
    """Each model's own; what nobody promised has no limit."""
    board = json.loads(dashboard(load(stack)))
    assert limits(board, "smol") == {"Time to first token": 3.0, "Request latency": 10.0, "Memory": 2.0**30}
    assert limits(board, "other") == {"Memory": 2.0**31}


def test_the_dashboard_is_held_equal_to_the_stack(stack: Path) -> None:
    """`render --check` sees a change by hand, and a stack without a Prometheus takes its dashboard along."""
    committed = stack.parent / "alerts" / NAME
    invoke = CliRunner().invoke
    invoke(render, [str(stack)], standalone_mode=False)
    assert invoke(render, [str(stack), "--check"], standalone_mode=False).return_value == ExitCode.OK
    committed.write_text(committed.read_text().replace('"30s"', '"5s"'))
    assert invoke(render, [str(stack), "--check"], standalone_mode=False).return_value == ExitCode.CHANGES
    stack.write_text(STACK.replace("monitoring: {prometheus: {}}\n", ""))
    invoke(render, [str(stack)], standalone_mode=False)
    assert not committed.exists()


def test_panels_have_a_place_and_an_identity_of_their_own(stack: Path) -> None:
    """None covers another, and a link to one stays valid."""
    panels = json.loads(dashboard(load(stack)))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.prometheus
def test_prometheus_reads_every_query(stack: Path, tmp_path: Path) -> None:
    """Each one as a rule of its own, with Grafana's variable for the window filled in."""
    found = [query.replace("$__rate_interval", "5m") for query in queries(dashboard(load(stack)))]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(found)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    assert f"{len(found)} rules found" in run(["promtool", "check", "rules", path]).stdout
