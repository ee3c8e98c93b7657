"""A Prometheus that runs already, of somebody else's, gets rules and targets and is told of changes."""

from __future__ import annotations

import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from monitoring.watched import Told, Watched

pytestmark = [pytest.mark.prometheus, pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture
def machine(smollm2: Path) -> Iterator[Watched]:
    """A machine with a Prometheus that is not ours, set up as docs/monitoring.md says."""
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        machine = Watched(Path(folder), smollm2, "", Told())
        config = machine.root / "theirs.yml"
        config.write_text(
            f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{folder}/rules/*.rules.yml]
scrape_configs:
  - job_name: genesis
    file_sd_configs: [{{files: [{folder}/targets/*.targets.yml]}}]
"""
        )
        argv = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{machine.ports[1]}",
            "--web.enable-lifecycle",
        ]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as theirs:
            try:
                until(lambda: ready(machine), "their Prometheus", seconds=300)
                yield machine
            finally:
                machine.cli("destroy", "--yes")
                machine.pool.shutdown()
                theirs.terminate()


def ready(machine: Watched) -> bool:
    """Whether their Prometheus answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{machine.ports[1]}/-/ready", timeout=60):
            return True
    except OSError:
        return False


def rules(machine: Watched) -> str:
    """What it evaluates."""
    return json.dumps(machine.query("rules"))


def test_it_finds_targets_and_rules_and_forgets_them(machine: Watched) -> None:
    """After an apply both are there, a changed limit is told, and without monitoring nothing is left."""
    port = machine.ports[1]
    external = f"""
  prometheus:
    mode: external
    scrape_interval: 1s
    exporter_port: {machine.ports[3]}
    rules_dir: {machine.root}/rules
    scrape_dir: {machine.root}/targets
    reload_url: "http://127.0.0.1:{port}/-/reload"
"""
    assert machine.apply(monitoring=external).returncode == 0
    expected = {("genesis", "smol"), ("genesis-host", None)}

    def found() -> bool:
        result: list[dict[str, Any]] = machine.query("query", query="up == 1")["result"]
        return {(one["metric"]["job"], one["metric"].get("model")) for one in result} == expected

    until(found, lambda: machine.query("targets"), seconds=300)
    assert "ServerDown" in rules(machine)
    done = machine.apply(monitoring=external, alerts="  HighMemoryUsage: {threshold: 77%}")
    assert "tell " in done.stderr
    assert "0.77" in rules(machine)
    assert machine.apply(monitoring="  logs: {level: info}").returncode == 0
    assert "ServerDown" not in rules(machine)
