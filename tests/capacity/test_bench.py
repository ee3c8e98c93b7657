"""`genesis-stack bench` as its user runs it, and what it makes of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import GENESIS_STACK
from small_model import DIGEST

from genesis_stack.capacity.bandwidth import measure_bandwidth
from genesis_stack.errors import ExitCode
from genesis_stack.process import Completed, run

STACK = """
api_version: genesis.stack/v1
name: bench
models:
  smol: # the only one
    port: 18999
    weights: {{source: "file://{weights}", sha256: {digest}}}
    engine: {{context: 512, parallel: 2, threads: 1, threads_batch: 1}}
    budget: {{memory: 1GiB, cpus: 2}}
    slo: {{ttft_p95: 100s, tokens_per_second: {rate}}}
"""


@pytest.fixture
def stack(tmp_path: Path, smollm2: Path) -> Path:
    """A stack of the real small model, which is in the store below the same directory."""
    file = tmp_path / "stack.yaml"
    file.write_text(STACK.format(weights=smollm2, digest=DIGEST, rate=0.01))
    done = bench("models", "pull", str(file), "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    return file


def bench(*words: str) -> Completed:
    """Run the installed program."""
    return run([GENESIS_STACK, *words], check=False, timeout=200)


@pytest.mark.model
@pytest.mark.timeout(240)
def test_a_machine_is_measured(stack: Path) -> None:
    """Memory, llama.cpp and the server, in so little time that one of each is all there is time for."""
    patch = stack.with_name("tuned.patch")
    words = ("bench", str(stack), "--root", str(stack.parent), "--within", "3s", "--patch", str(patch))
    done = bench(*words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    engine, level = found["engine"], found["levels"][0]
    assert found["bandwidth_ratio"] == pytest.approx(
        engine["decode"] * found["weight_bytes"] / found["bandwidth"]["bytes_per_second"]
    )
    assert level["users"] == 1
    assert level["failed"] == 0
    assert level["of_one"] > 0
    assert level["kept"]
    assert found["users"] >= 1
    assert {one["promise"] for one in found["promises"]} == {"ttft_p95", "tokens_per_second"}
    assert patch.read_text() == found["patch"]
    assert "tokens/s" in done.stderr


def test_two_things_cannot_both_have_stdout(tmp_path: Path) -> None:
    """The patch and the data are refused together, and a duration that is none is."""
    for words in (("--json", "--patch", "-"), ("--within", "soon")):
        done = bench("bench", str(tmp_path / "stack.yaml"), *words)
        assert done.returncode == ExitCode.USAGE, done.stderr


def test_memory_is_read_by_every_thread() -> None:
    """The rate is that of whole passes, and the method is told with it."""
    found = measure_bandwidth(2, seconds=0.01, free=2**30)
    assert found.bytes_per_second > 1e8
    assert "2 threads" in found.method
