"""What holds on one host of several."""

from __future__ import annotations

from genesis_stack.spec.effective import hosts_of, on_host
from genesis_stack.spec.load import loads
from spec.stacks import SMALL, with_lines

TWO_HOSTS = with_lines(
    """\
    engine: {context: 2048, parallel: 2}
hosts:
  big: {}
  tiny:
    models: [a]
    reserve: 256MiB
    overrides:
      a: {port: 8005, engine: {parallel: 1}, budget: {memory: 512MiB}}
"""
)


def test_without_hosts_this_machine_runs_all() -> None:
    """A stack that names no hosts is the stack of this machine."""
    stack = loads(SMALL)
    assert list(hosts_of(stack)) == [None]
    assert on_host(stack, None) == stack


def test_a_host_changes_only_what_it_overrides() -> None:
    """Single settings replace the model's, and everything else stays."""
    stack = loads(TWO_HOSTS)
    tiny, big = on_host(stack, "tiny"), on_host(stack, "big")
    assert big.models == stack.models
    model = tiny.models["a"]
    assert (model.port, model.engine.parallel, model.engine.context) == (8005, 1, 2048)
    assert (model.budget.memory, model.budget.cpus) == (512 * 2**20, 2.0)
    assert tiny.defaults.reserve == 256 * 2**20


def test_a_host_runs_only_its_models() -> None:
    """Models of other hosts are not there."""
    stack = loads(with_lines("hosts: {big: {}, tiny: {models: []}}\n"))
    assert not on_host(stack, "tiny").models
