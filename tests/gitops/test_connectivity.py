"""What a change must not cut off."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from genesis_stack.gitops.connectivity import CutOffError, Way, default_router, keeps, ways_of
from genesis_stack.gitops.repository import Repository
from genesis_stack.spec.load import loads
from gitops.followed import stack_text

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_what_did_not_work_before_is_not_asked_for() -> None:
    """Only what a change takes away is held against it."""
    keeps([Way("a dead one", lambda: False)], 0)()


def test_what_worked_before_must_work_again_within_the_deadline() -> None:
    """A restart takes a moment, a cut lasts."""
    answers = iter([True, False, True])
    keeps([Way("a slow one", lambda: next(answers))], 60)()
    lasting = iter([True])
    with pytest.raises(CutOffError, match="could reach a lost one before"):
        keeps([Way("a lost one", lambda: next(lasting, False))], 0)()


def test_the_router_is_the_next_hop_of_the_default_route(tmp_path: Path) -> None:
    """Addresses stand there with their last byte first; see proc(5)."""
    (tmp_path / "net").mkdir()
    assert default_router(tmp_path) is None
    (tmp_path / "net/route").write_text(ROUTES)
    assert default_router(tmp_path) == "192.168.2.1"


def test_a_gateway_that_answers_is_enough(tmp_path: Path) -> None:
    """Of several, the others may be changing too."""
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        port = gateway.getsockname()[1]
        hosts = {"one": {"hostname": "127.0.0.9", "listen": "10.0.0.1"}, "two": {"listen": "10.0.0.2"}}
        more = {"hosts": hosts, "clients": {"c": {"models": ["a"]}}}
        declared = {"listen": "127.0.0.1", "port": port}
        repository = Repository(tmp_path / "clone", f"file://{tmp_path}/none", "main")
        gitops = {"repository": repository.url}
        text = stack_text({"a": "one"}, gitops, gateway=declared, **more)
        ways = ways_of(repository, loads(text), "two", tmp_path)
        assert [way.works() for way in ways] == [False, True]
    assert [way.works() for way in ways] == [False, False]
