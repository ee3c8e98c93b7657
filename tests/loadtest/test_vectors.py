"""Load on models that do not generate: their tasks follow from the stack as well."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import gguf
import pytest
from engine import synthetic
from ports import free_port

from genesis_stack.errors import ExitCode
from loadtest.machine import Loaded

pytestmark = pytest.mark.timeout(240)

STACK = """
api_version: genesis.stack/v1
name: vectors
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 200ms, deadline: 90s}}}}
models:
{models}
load:
  smoke: {{users: 8, duration: 1s, warm_up: 0s, spawn_rate: 20/s, think_time: 20ms, least_requests: 4}}
"""
MODEL = """
  {task}:
    task: {task}
    port: {port}
    weights: {{source: "file://{weights}", sha256: {digest}}}
    engine: {{context: 1024}}
    budget: {{memory: 512MiB, cpus: 1}}
    slo: {{latency_p95: 90s, error_rate: 0%}}
"""
POOLINGS = {"embedding": gguf.PoolingType.MEAN, "rerank": gguf.PoolingType.RANK}


def test_vectors_and_rankings_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedding model is asked for vectors, a ranking one for rankings, and every answer is a good one."""
    monkeypatch.setattr(synthetic, "CONTEXT", 1024)
    machine, models = Loaded(tmp_path, 0), ""
    for task, pooling in POOLINGS.items():
        file = synthetic.write_encoder(tmp_path / f"{task}.gguf", pooling)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        models += MODEL.format(task=task, port=free_port(), weights=file, digest=digest)
    machine.stack.write_text(STACK.format(models=models))
    try:
        done = machine.apply()
        assert done.returncode == ExitCode.OK, done.stderr
        done, data = machine.load()
    finally:
        machine.down()
    assert done.returncode == ExitCode.OK, json.dumps(data, indent=1)
    samples = json.loads(machine.record.read_text())["samples"]
    assert {(sample["model"], sample["task"]) for sample in samples} == {(task, task) for task in POOLINGS}
