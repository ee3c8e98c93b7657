"""What an administrator does to a real host behind our back: told by `drift`, undone by `apply`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hosts.nspawn import Host

from backends.booted import Booted
from backends.scenarios import applied, expect, has_nothing_to_do
from genesis_stack.errors import ExitCode

pytestmark = [pytest.mark.host, pytest.mark.model]
DROP_IN = "/etc/systemd/system/smol-server.service.d/override.conf"
UNIT = "/etc/systemd/system/smol-server.service"


@pytest.fixture(scope="module")
def booted(boot_host: Callable[[], AbstractContextManager[Host]], smollm2: Path) -> Iterator[Booted]:
    """A host that serves."""
    with boot_host() as host:
        machine = Booted(host, str(smollm2))
        applied(machine)
        yield machine


def foreign_drop_in(machine: Booted) -> None:
    """As `systemctl edit` writes it."""
    machine.write(DROP_IN, "[Service]\nPrivateNetwork=no\n")
    machine.host.systemctl("daemon-reload")


def edited_unit(machine: Booted) -> None:
    """An editor on the unit itself."""
    machine.write(UNIT, machine.read(UNIT).replace("NoNewPrivileges=yes", "NoNewPrivileges=no"))


def changed_limit(machine: Booted) -> None:
    """As `systemctl set-property` does it."""
    machine.host.systemctl("set-property", "smol-server.service", "MemoryMax=2G")


def stopped(machine: Booted) -> None:
    """Server and socket."""
    machine.host.systemctl("stop", "smol-server.socket", "smol-server.service")


def disabled(machine: Booted) -> None:
    """It would not come back after a boot."""
    machine.host.systemctl("disable", "smol-server.service")


CASES = {
    "foreign file": foreign_drop_in,
    "edited file": edited_unit,
    "changed limit": changed_limit,
    "stopped": stopped,
    "disabled": disabled,
}


@pytest.mark.parametrize("kind", CASES)
def test_drift_is_told_with_its_fix_and_apply_heals_it(kind: str, booted: Booted) -> None:
    """Each kind by its name; afterwards there is none, and a second apply has nothing to do."""
    CASES[kind](booted)
    told = json.loads(expect(booted.cli("drift", "--json"), ExitCode.CHANGES))["drift"]
    assert kind in {one["kind"] for one in told}
    assert all(one["fix"] for one in told)
    expect(booted.cli("apply", booted.stack), ExitCode.OK)
    expect(booted.cli("drift"), ExitCode.OK)
    assert has_nothing_to_do(booted)


def test_a_rogue_listener_is_named_and_left_alone(booted: Booted) -> None:
    """Our socket is down and a stranger holds its port: apply says who, and does not kill it."""
    stopped(booted)
    rogue = booted.host.start(["python3", "-m", "http.server", str(booted.port), "--bind", "127.0.0.1"])
    try:
        booted.host.wait_for(booted.listening, what="the rogue listens")
        told = expect(booted.cli("drift"), ExitCode.CHANGES)
        assert "rogue listener" in told
        assert "python3 -m http.server" in told
        refused = booted.cli("apply", booted.stack)
        expect(refused, ExitCode.FAILED)
        assert "python3 -m http.server" in refused.stderr
    finally:
        rogue.kill()
        booted.host.run(["pkill", "-f", "http.server"], check=False)
        rogue.communicate()
    booted.host.wait_for(lambda: not booted.listening(), what="the rogue is gone")
    expect(booted.cli("apply", booted.stack), ExitCode.OK)
