"""A host's life, told with an operator's verbs: install, apply, chat, verify, change, go back, destroy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hosts.nspawn import Host
from small_model import DIGEST

from verify.pair import STACK
from verify.sabotages import violated

pytestmark = [pytest.mark.host, pytest.mark.model]


def stack(weights: Path, parallel: int) -> str:
    """One model."""
    return f"""
api_version: genesis.stack/v1
name: story
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 100ms, deadline: 5m}}}}
models:
  smol:
    port: 8000
    weights: {{source: "file://{weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: {parallel}}}
    budget: {{memory: 1GiB, cpus: 2}}
"""


def test_the_whole_story(installed_host: Host, smollm2: Path) -> None:
    """The units are those that a review saw; each step leaves a host that verifies as the stack in force.

    And as no other; after the last nothing is left.
    """
    host = installed_host

    def cli(*words: str) -> str:
        return host.run(["genesis-stack", *words], timeout=600).stdout

    def found(path: str) -> set[str]:
        done = host.run(["genesis-stack", "verify", path, "--json"], check=False, timeout=600)
        return set(violated(json.loads(done.stdout)))

    changed = "/root/changed.yaml"
    other_stack = {"generation_is_of_this_stack", "plan_has_nothing_to_do"}
    host.write(STACK, stack(smollm2, parallel=2))
    host.write(changed, stack(smollm2, parallel=4))
    cli("apply", STACK)
    cli("render", STACK, "--output", "/root/units")
    for unit in ("smol-server.service", "smol-server.socket"):
        assert host.read(f"/etc/systemd/system/{unit}") == host.read(f"/root/units/{unit}")
    assert json.loads(cli("chat", "--message", "Hello.", "--max-tokens", "4", "--json"))["usage"]
    assert found(STACK) == set()
    cli("apply", changed)
    assert found(changed) == set()
    assert found(STACK) == other_stack
    cli("rollback")
    assert found(STACK) == set()
    cli("destroy", "--yes")
    assert "generation_is_of_this_stack" in found(STACK)
    assert host.run(["find", "/etc/systemd/system", "-name", "smol-*"]).stdout == ""
