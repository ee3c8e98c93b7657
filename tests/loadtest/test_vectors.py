"""Load on models that do not generate: their tasks follow from the stack as well."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
from pathlib import Path

import gguf
import httpx
import pytest
from engine import synthetic
from ports import free_port
from program import GENESIS_SERVE
from small_model import DIGEST
from waiting import until

from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout
from genesis_stack.loadtest.answer import read_body
from genesis_stack.loadtest.setting import Target
from genesis_stack.loadtest.traffic import ask
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render.files import ResolvedModel
from genesis_stack.render.serve import serve_config
from genesis_stack.spec.load import loads
from genesis_stack.spec.loadtest import Task
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
POOLINGS: dict[Task, gguf.PoolingType] = {
    "embedding": gguf.PoolingType.MEAN,
    "rerank": gguf.PoolingType.RANK,
}


@pytest.mark.parametrize(("task", "pooling"), POOLINGS.items())
def test_each_kind_of_request_is_a_good_one(
    task: Task, pooling: gguf.PoolingType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers it, and the answer counts as one."""
    monkeypatch.setattr(synthetic, "CONTEXT", 1024)
    file = synthetic.write_encoder(tmp_path / "tiny.gguf", pooling)
    model = MODEL.format(task=task, port=9, weights=file, digest=DIGEST)
    stack = loads(STACK.format(models=model))
    resolved = ResolvedModel(FileRef(path=str(file), sha256=DIGEST, size=file.stat().st_size))
    config = tmp_path / "serve.json"
    config.write_text(serve_config(stack, task, resolved, Layout.under(tmp_path)).model_dump_json())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        serving = subprocess.Popen([GENESIS_SERVE, "--config", config, "--fd", str(fd)], pass_fds=[fd])
    try:
        until(
            lambda: httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).is_success, "ready", seconds=60
        )
        asked = ask(Target(task, task, f"http://127.0.0.1:{port}", 1024, 8, 1.0), 0)
        answer = httpx.post(f"http://127.0.0.1:{port}{asked.path}", json=asked.body, timeout=60)
    finally:
        serving.terminate()
        serving.wait(60)
    assert answer.status_code == 200, answer.text
    read_body(answer.content)


@pytest.mark.slow
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
