"""The audit record on each backend, as an operator checks it: with the real model and server."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hosts.nspawn import Host
from ports import free_port
from small_model import DIGEST
from waiting import until

from backends.booted import Booted
from backends.calling import ask
from backends.here import Here
from backends.scenarios import Machine, expect
from genesis_stack.errors import ExitCode

pytestmark = [pytest.mark.model, pytest.mark.timeout(240)]
STACK = """
api_version: genesis.stack/v1
name: audit
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 500ms, deadline: 60s}}}}
models:
  smol:
    port: {port}
    weights: {{source: "file://{weights}", sha256: {digest}}}
    engine: {{context: {context}, parallel: 2, prefix_cache_ram: 64MiB, prefix_cache_disk: 64MiB}}
    budget: {{memory: 1GiB, cpus: 2}}
monitoring: {{logs: {{audit: {sink}}}}}
"""


def serve(machine: Machine, *, context: int, sink: str) -> None:
    """Apply the stack with these values and make one request, which declares no client."""
    text = STACK.format(port=machine.port, weights=machine.weights, digest=DIGEST, context=context, sink=sink)
    machine.write(machine.stack, text)
    expect(machine.cli("apply", machine.stack), ExitCode.OK)
    assert ask(machine, "stranger") == 200


def head_after(machine: Machine, requests: int) -> str:
    """The record's head once it holds so many requests: an answer does not wait for its record."""

    def head() -> str | None:
        told = json.loads(expect(machine.cli("audit", "verify", "--json"), ExitCode.OK))
        return str(told["head"]["hash"]) if told["requests"] == requests else None

    return until(head, f"{requests} requests in the record")


def the_record_is_whole_across_a_change(machine: Machine, sink: str) -> None:
    """Two runs are one chain; an anchor of the first is in it, a made-up one is not."""
    serve(machine, context=512, sink=sink)
    anchor = head_after(machine, 1)[:16]
    serve(machine, context=256, sink=sink)
    head_after(machine, 2)
    told = expect(machine.cli("audit", "verify", "--model", "smol", "--anchor", anchor), ExitCode.OK)
    assert "of 2 requests, unbroken" in told
    other = machine.cli("audit", "verify", "--anchor", "0123456789abc")
    assert (other.returncode, "0123456789abc" in other.stdout) == (ExitCode.VIOLATED, True)


@pytest.mark.embedded
def test_embedded(smollm2: Path) -> None:
    """In a file: there is no journal."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        machine = Here(Path(folder), port, str(smollm2))
        record = Path(folder) / "var/lib/genesis-stack/logs/smol/audit.jsonl"
        try:
            the_record_is_whole_across_a_change(machine, "journal")
        finally:
            told = machine.cli("destroy", "--yes")
        assert str(record.parents[1]) in told.stderr
        assert "unbroken" in expect(machine.cli("audit", "verify", str(record)), ExitCode.OK)
        files = {path for path in Path(folder).rglob("*") if path.is_file()}
        assert files == {record, Path(machine.stack)}


@pytest.fixture
def booted(host: Host, smollm2: Path) -> Booted:
    """A host."""
    return Booted(host, str(smollm2))


@pytest.mark.host
@pytest.mark.parametrize("sink", ["journal", "file"])
def test_systemd(booted: Booted, sink: str) -> None:
    """Out of the strict sandbox, and read by root; it outlives `destroy`, and nothing else does."""
    the_record_is_whole_across_a_change(booted, sink)
    assert booted.host.exists("/var/cache/genesis-stack/smol")
    told = booted.cli("destroy", "--yes")
    expect(told, ExitCode.OK)
    assert "the audit record in /var/log/genesis-stack" in told.stderr
    places = ("/etc", "/var/lib", "/var/cache", "/var/log", "/run")
    assert [place for place in places if booted.host.exists(f"{place}/genesis-stack")] == ["/var/log"]
    private = booted.host.run(["find", "/var/cache/private", "/var/log/private", "-type", "f"]).stdout.split()
    assert private == [f"/var/log/private/genesis-stack/smol/audit.{'jsonl' if sink == 'file' else 'head'}"]
    assert booted.host.exists(f"/var/log/genesis-stack/smol/{Path(private[0]).name}")
