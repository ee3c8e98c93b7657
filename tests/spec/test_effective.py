"""What holds on one host of several."""

from __future__ import annotations

import pytest

from genesis_stack.spec.effective import gateway_on, hosts_of, name_of, on_host
from genesis_stack.spec.hosts import BudgetOverride, Override
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
HEARD = "clients: {me: {models: [a]}}\n"
"""Who may call, since a stack that listens on a network must say so."""


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
    assert big.defaults == stack.defaults


@pytest.mark.parametrize(
    "nothing",
    [
        *(f"{key}: " for key in Override.model_fields),
        *(f"budget: {{{key}: }}" for key in BudgetOverride.model_fields),
    ],
)
def test_an_empty_override_changes_nothing(nothing: str) -> None:
    """A key without a value is as if it were not there, whatever the model itself says."""
    own = "    rollout: {deadline: 9m}\n    security: {directives: {PrivateTmp: true}}\n"
    stack = loads(with_lines(f"{own}hosts: {{one: {{overrides: {{a: {{{nothing}}}}}}}}}\n"))
    assert on_host(stack, "one").models == stack.models


def test_a_host_runs_only_its_models() -> None:
    """Models of other hosts are not there."""
    stack = loads(with_lines("hosts: {big: {}, tiny: {models: []}}\n"))
    assert not on_host(stack, "tiny").models


def test_a_host_listens_where_it_says_unless_an_override_says_more() -> None:
    """The host's address is that of its models; one of them may have another."""
    stack = loads(with_lines("hosts: {one: {listen: 192.0.2.1}, two: {}}\n" + HEARD))
    assert on_host(stack, "one").models["a"].listen == "192.0.2.1"
    assert on_host(stack, "two").models["a"].listen == "127.0.0.1"
    more = "hosts: {one: {listen: 192.0.2.1, overrides: {a: {listen: 192.0.2.2}}}}\n"
    assert on_host(loads(with_lines(more + HEARD)), "one").models["a"].listen == "192.0.2.2"


def test_a_gateway_runs_where_it_is_declared_and_stands_before_all_hosts() -> None:
    """Each of its hosts sees the models of every host as they run there."""
    hosts = "hosts: {one: {listen: 192.0.2.1}, two: {listen: 192.0.2.2, overrides: {a: {port: 8005}}}}\n"
    stack = loads(with_lines(hosts + HEARD + "gateway: {port: 9000, hosts: [one]}\n"))
    assert gateway_on(stack, "two") is None
    assert on_host(stack, "two").gateway is None
    placed = gateway_on(stack, "one")
    assert placed is not None
    assert (placed.here, placed.port) == ("one", 9000)
    ports = {
        host: {name: model.port for name, model in models.items()} for host, models in placed.models.items()
    }
    assert ports == {"one": {"a": 8000}, "two": {"a": 8005}}
    assert gateway_on(on_host(stack, "one"), "two") == placed


def test_a_port_of_the_gateway_is_free_where_no_gateway_is() -> None:
    """Ports are a matter of one host."""
    moved = "overrides: {a: {port: 9000}}"
    hosts = f"hosts: {{one: {{listen: 192.0.2.1}}, two: {{listen: 192.0.2.2, {moved}}}}}\n"
    stack = loads(with_lines(hosts + HEARD + "gateway: {port: 9000, hosts: [one]}\n"))
    assert on_host(stack, "two").models["a"].port == 9000


def test_without_hosts_the_gateway_is_this_machines() -> None:
    """It stands before the models that are here."""
    stack = loads(with_lines("gateway: {port: 9000}\n"))
    placed = gateway_on(stack, None)
    assert placed is not None
    assert placed.here is None
    assert placed.models == {None: stack.models}
    everywhere = loads(with_lines("hosts: {one: {}}\ngateway: {port: 9000}\n"))
    assert gateway_on(everywhere, "one") is not None


def test_others_reach_a_host_by_its_address_its_name_or_what_the_stack_calls_it() -> None:
    """In this order: what SSH reaches, the services are reached by too."""
    hosts = (
        "{a: {address: 'ssh://op@192.0.2.1:22', hostname: one.example}, b: {hostname: two.example}, c: {}}"
    )
    stack = loads(with_lines(f"hosts: {hosts}\n"))
    assert [name_of(stack, host) for host in stack.hosts] == ["192.0.2.1", "two.example", "c"]
