"""Ports are open where declared, and nowhere else."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from genesis_stack.render.systemd import socket_name
from genesis_stack.verify.facts import Facts, Process
from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence

LOOPBACK = {"lo"}


def test_socket_listens_where_declared(
    machine: Machine, facts: Facts, model: str, evidence: Evidence
) -> None:
    """Its socket unit listens on the declared address and port alone."""
    one = machine.model(model)
    listen = one.listen or machine.stack.defaults.listen
    if not facts.unit(socket_name(model)).get("FragmentPath"):
        pytest.skip("there is no socket unit")
    declared = f"[{listen}]:{one.port} (Stream)" if ":" in listen else f"{listen}:{one.port} (Stream)"
    found = facts.unit(socket_name(model)).get("Listen", "")
    evidence("Listen", found)
    assert found == declared, f"it listens on {found or 'nothing'}, declared is {declared}"


def test_port_is_ours(machine: Machine, facts: Facts, model: str, evidence: Evidence) -> None:
    """Nobody but systemd and the server holds its port, on any address."""
    one = machine.model(model)
    listen = ip_address(one.listen or machine.stack.defaults.listen)
    found = [socket for socket in facts.listening if socket.port == one.port]
    server = machine.process(model)
    ours = {1, server.pid if server else 1}
    evidence(
        "listening", "\n".join(f"{socket} held by {facts.holders.get(socket.inode)}" for socket in found)
    )
    for socket in found:
        held = set(facts.holders.get(socket.inode, ()))
        assert held, f"a stranger listens on {socket.address}:{socket.port}"
        assert held <= ours, f"{socket.address}:{socket.port} is held by {sorted(held - ours)}"
        assert ip_address(socket.address) == listen, f"it listens on {socket.address}, declared is {listen}"


def test_no_other_listener_of_ours(machine: Machine, facts: Facts, evidence: Evidence) -> None:
    """No process of the models' slice listens anywhere else."""
    declared = {one.port for one in machine.stack.models.values()}
    found = [
        f"{socket.address}:{socket.port} by process {pid}"
        for socket in facts.listening
        for pid in facts.holders.get(socket.inode, ())
        if pid != 1 and socket.port not in declared
    ]
    evidence("listening", found)
    assert not found, "; ".join(found)


def test_own_network_is_empty(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """The network that the server sees has no way out and nobody listening."""
    policy = machine.policy(model)
    if policy.profile != "strict" or "PrivateNetwork" in policy.overrides:
        pytest.skip("the server has the host's network")
    evidence("links", process.links)
    evidence("listening", process.listening)
    assert set(process.links) <= LOOPBACK, f"it has {', '.join(process.links)}"
    assert not process.listening, f"it listens on {process.listening[0].port}"
