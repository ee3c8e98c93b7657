"""Three hosts, one repository, one gateway: what a push does, and what a fault does not do."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from waiting import until

from fleet.fleet import CANARY, GATEWAY, NAMES, PARALLEL, PATIENCE, Fleet

pytestmark = [pytest.mark.host, pytest.mark.model]
PYTHON = Path(sys.prefix) / "bin/python"
STREAMS = Path(__file__).with_name("streams.py")
OTHERS = tuple(name for name in NAMES if name != CANARY)
UNIT = "smol-server.service"


def test_a_signed_commit_is_in_force_everywhere_the_canary_first(fleet: Fleet) -> None:
    """Within two minutes of the push, and on no other host before the canary has proved it."""
    revision = fleet.origin.push(fleet.stack(context=640))
    fleet.converge(revision)
    finished = {name: finished_at(fleet, name) for name in NAMES}
    assert all(started_at(fleet, name) > finished[CANARY] for name in OTHERS)
    fleet.told(revision, "applied")


def finished_at(fleet: Fleet, name: str) -> float:
    """When the current generation of a host had passed its gates."""
    read = fleet.hosts[name].read("/var/lib/genesis-stack/current/result.json")
    return float(json.loads(read)["finished"])


def started_at(fleet: Fleet, name: str) -> float:
    """When the current generation of a host was begun."""
    read = fleet.hosts[name].read("/var/lib/genesis-stack/current/generation.json")
    return float(json.loads(read)["created"])


@pytest.mark.parametrize("how", ["unsigned", "forged", "force-pushed"])
def test_a_revision_that_must_not_be_followed_is_refused_and_told_once(fleet: Fleet, how: str) -> None:
    """By every host for itself; what is in force stays in force."""
    good = fleet.origin.head
    fleet.converge(good)
    text = fleet.stack(context=768)
    match how:
        case "unsigned":
            bad = fleet.origin.push(text, key=None)
        case "forged":
            bad = fleet.origin.push(text, key="stranger")
        case _:
            bad = fleet.origin.push(text, amend=True)
    fleet.told(bad, "refused")
    assert fleet.applied() == dict.fromkeys(NAMES, good)
    assert sorted(one["host"] for one in fleet.origin.notices(bad)) == sorted(NAMES)
    fleet.origin.reset(good)


def test_a_bad_digest_stops_at_the_canary(fleet: Fleet) -> None:
    """The canary refuses the file, the others hear of it, and all serve what they served."""
    good = fleet.origin.head
    fleet.converge(good)
    bad = fleet.origin.push(fleet.stack(digest="f" * 64))
    fleet.told(bad, "failed")
    assert fleet.applied() == dict.fromkeys(NAMES, good)
    for name in NAMES:
        assert fleet.hosts[name].show(UNIT, "ActiveState") == {"ActiveState": "active"}
    notices = {one["host"]: one["reason"] for one in fleet.origin.notices(bad)}
    assert all(CANARY in notices[name] for name in OTHERS)
    fleet.origin.push(fleet.stack(context=640))
    fleet.converge(fleet.origin.head)


@pytest.mark.parametrize("outage", ["short", pytest.param("long", marks=pytest.mark.slow)])
def test_a_host_unplugged_in_mid_apply_converges_when_it_is_back(fleet: Fleet, outage: str) -> None:
    """A short outage it waits for; after a long one it has undone the change, and begins anew."""
    fleet.converge(fleet.origin.head)
    last = OTHERS[-1]
    revision = fleet.origin.push(fleet.stack(context={"short": 896, "long": 960}[outage]))
    begun = "/var/lib/genesis-stack/journal.json"
    until(lambda: fleet.hosts[last].exists(begun), "an apply under way", seconds=PATIENCE)
    fleet.network.pull(last)
    others = [name for name in NAMES if name != last]
    until(lambda: all(fleet.applied()[name] == revision for name in others), "the others", seconds=PATIENCE)
    if outage == "long":
        until(lambda: undone(fleet, last, revision), "the end of its apply", seconds=PATIENCE)
    fleet.network.put_back(last)
    fleet.converge(revision)


def undone(fleet: Fleet, name: str, revision: str) -> bool:
    """Whether the agent of a host has ended its run, and keeps what stands against this revision."""
    trouble = fleet.record(name).get("trouble") or {}
    return bool(trouble.get("revision") == revision)


def test_every_host_is_seen_from_any_of_them(fleet: Fleet) -> None:
    """Status and plan over SSH, from the applied stack and from a file."""
    fleet.converge(fleet.origin.head)
    told = json.loads(fleet.cli(CANARY, "status", "--all", "--json").stdout)
    assert {one["host"]: one["status"]["sync"] for one in told["hosts"]} == dict.fromkeys(NAMES, "in sync")
    assert all(one["status"]["healthy"] for one in told["hosts"])
    fleet.hosts[CANARY].write("/root/next.yaml", fleet.stack(context=1024))
    for name in NAMES:
        done = fleet.cli(
            CANARY, "plan", "/root/next.yaml", "--host", name, "--exit-code", "--json", check=False
        )
        assert done.returncode == 2, done.stderr
        assert "smol" in {step["target"] for step in json.loads(done.stdout)["steps"]}


@pytest.mark.slow
def test_every_host_is_verified_from_one_of_them(fleet: Fleet) -> None:
    """One report of all, in which nothing is violated."""
    fleet.converge(fleet.origin.head)
    fleet.hosts[CANARY].write("/root/head.yaml", fleet.origin.text)
    done = fleet.cli(CANARY, "verify", "/root/head.yaml", "--all", "--json", check=False)
    report = json.loads(done.stdout)
    violated = [one for one in report["findings"] if one["outcome"] == "violated"]
    assert (violated, report["away"], done.returncode) == ([], {}, 0)
    assert set(report["machines"]) == set(NAMES)


def test_killing_a_host_loses_the_streams_on_it_and_no_other(fleet: Fleet) -> None:
    """Those end with an error that says so, and asked for again they are answered by the others.

    The last test of this fleet: the host is gone afterwards.
    """
    fleet.converge(fleet.origin.head)
    last = OTHERS[-1]
    load = fleet.origin.host.start([PYTHON, STREAMS, GATEWAY, 9, 200])
    assert load.stdin is not None
    assert load.stdout is not None
    load.stdin.write(f"{fleet.key}\n")
    load.stdin.flush()
    assert load.stdout.readline() == "begun\n"
    until(lambda: in_flight(fleet, last) >= 1, "streams on the host", seconds=PATIENCE)
    os.kill(fleet.hosts[last].leader, signal.SIGKILL)
    ends = json.loads(load.communicate("\n", timeout=PATIENCE)[0])
    assert ends.keys() == {"answered", "repeated", "StreamInterruptedError"}
    assert 0 < ends["StreamInterruptedError"] <= PARALLEL
    assert ends["repeated"] == ends["StreamInterruptedError"]


def in_flight(fleet: Fleet, name: str) -> float:
    """Requests that the gateway has sent to the server of a host and that are not answered to their end."""
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8405/metrics').read().decode())"
    series = f'haproxy_server_current_sessions{{proxy="model.smol",server="{name}"}} '
    lines = fleet.hosts[CANARY].run(["python3", "-c", ask]).stdout.splitlines()
    return next(float(line.removeprefix(series)) for line in lines if line.startswith(series))
