"""What a stack of several hosts renders to for its gateway: pure, on the hosts that run it, and confined."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack.layout import Layout
from genesis_stack.process import run
from genesis_stack.render import INSTALLED, RenderedFile, as_declared, systemd
from genesis_stack.render.gateway import config_path
from genesis_stack.render.gateway.routes import routes
from genesis_stack.spec.effective import on_host
from genesis_stack.spec.load import load
from genesis_stack.spec.model import Stack

HERE = Path(__file__).parent
LAYOUT = Layout.system()
UNIT = systemd.UNITS / "genesis-gateway.service"
EXPOSURE = {443: 1.4, 8443: 1.1}
"""By port: a low one takes a capability."""


def fleet(host: str | None, port: int = 443) -> Stack:
    """The stack of `fleet.yaml` on one of its hosts, with its gateway on this port."""
    whole = load(HERE / "fleet.yaml")
    assert whole.gateway is not None
    moved = whole.gateway.model_copy(update={"port": port})
    return on_host(whole.model_copy(update={"gateway": moved}), host)


def rendered(stack: Stack) -> dict[PurePosixPath, RenderedFile]:
    """Everything that a host has of it."""
    return {file.path: file for file in systemd.render(stack, as_declared(stack, LAYOUT), LAYOUT, INSTALLED)}


def test_the_configuration_is_what_is_kept_here() -> None:
    """A change of what is rendered is seen in a review; see `haproxy.cfg` beside this file."""
    expected = (HERE / "haproxy.cfg").read_text()
    assert rendered(fleet("alpha"))[config_path(LAYOUT)].content == expected


def test_it_runs_where_the_stack_says() -> None:
    """The other hosts have neither unit nor configuration; without `hosts`, each that is named has one."""
    assert UNIT in rendered(fleet("alpha"))
    for host in ("beta", "gamma"):
        assert not {UNIT, config_path(LAYOUT)} & rendered(fleet(host)).keys()
    everywhere = load(HERE / "fleet.yaml")
    assert everywhere.gateway is not None
    moved = everywhere.gateway.model_copy(update={"hosts": None})
    for host in everywhere.hosts:
        assert UNIT in rendered(on_host(everywhere.model_copy(update={"gateway": moved}), host))


def test_replicas_are_reached_as_their_hosts_say() -> None:
    """By the address they listen on, by their host's name if that is every address, here by loopback."""
    found = {route.model: [one.target for one in route.replicas] for route in routes(fleet("alpha"))}
    assert found == {
        "a": ["192.0.2.1:8000", "198.51.100.2:8000", "[2001:db8::3]:9000"],
        "sees": ["192.0.2.1:8001"],
    }
    everywhere = load(HERE / "fleet.yaml")
    assert everywhere.gateway is not None
    moved = everywhere.gateway.model_copy(update={"hosts": None})
    on_beta = routes(on_host(everywhere.model_copy(update={"gateway": moved}), "beta"))
    assert next(on_beta).replicas[1].target == "127.0.0.1:8000"


def test_a_replica_is_given_twice_what_it_decodes_and_never_more_than_it_takes() -> None:
    """So that the next request is there when one ends, and none is refused."""
    most = {route.model: [one.most for one in route.replicas] for route in routes(fleet("alpha"))}
    assert most == {"a": [8, 8, 16], "sees": [3]}


def test_prometheus_scrapes_it_where_it_runs() -> None:
    """With its alerts; on other hosts there is neither."""
    on_alpha, on_beta = (rendered(fleet(host)) for host in ("alpha", "beta"))
    scraping = PurePosixPath(LAYOUT.config) / "monitoring/prometheus.yml"
    rules = scraping.with_name("genesis.rules.yml")
    assert "127.0.0.1:8405" in on_alpha[scraping].content
    assert "127.0.0.1:8405" not in on_beta[scraping].content
    names = set(re.findall(r"alert: (Gateway\w+)", on_alpha[rules].content))
    assert names == {"GatewayDown", "GatewayServerDown", "GatewayQueueLong"}
    assert "Gateway" not in on_beta[rules].content


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(("port", "promised"), EXPOSURE.items())
def test_its_exposure_is_as_documented(port: int, promised: float, tmp_path: Path) -> None:
    """By systemd's own count, from 0 to 10; `--threshold=` is ten times that."""
    unit = tmp_path / UNIT.name
    unit.write_text(rendered(fleet("alpha", port))[UNIT].content)
    threshold = f"--threshold={promised * 10:.0f}"
    run(["systemd-analyze", "security", "--offline=true", "--no-pager", threshold, unit])
