"""What the other tests of hosts build on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from hosts.nspawn import Host

pytestmark = pytest.mark.host
BootHost = Callable[[], AbstractContextManager[Host]]


def test_boots_with_every_unit_in_order(host: Host) -> None:
    """A sabotage test is worth nothing on a host that was broken before."""
    assert host.systemctl("is-system-running").stdout == "running\n"


def test_forgets_what_was_written(boot_host: BootHost) -> None:
    """Every test starts from the same host."""
    with boot_host() as first:
        first.write("/etc/mark", "here\n")
        assert first.read("/etc/mark") == "here\n"
    with boot_host() as second:
        assert not second.exists("/etc/mark")


def test_hosts_do_not_share_limits_or_processes(boot_host: BootHost) -> None:
    """A unit of the same name runs on two hosts, and stopping one leaves the other."""
    with boot_host() as one, boot_host() as other:
        for host in (one, other):
            host.run(["systemd-run", "--unit=same", "sleep", "1000"])
        one.systemctl("stop", "same")
        assert other.show("same", "ActiveState") == {"ActiveState": "active"}


def test_has_no_network_but_its_own(host: Host) -> None:
    """Nothing that runs on a test host can reach out of it."""
    links = host.run(["ip", "-brief", "link"]).stdout.splitlines()
    assert [link.split()[0] for link in links] == ["lo"]


@pytest.mark.parametrize(("mebibytes", "ends"), [(50, "well"), (300, "killed")])
def test_memory_max_kills_the_overrun_and_nothing_else(host: Host, mebibytes: int, ends: str) -> None:
    """The kernel enforces the budget; what stays below it is left alone."""
    program = f"bytes = bytearray({mebibytes} << 20); bytes[::4096] = b'x' * len(bytes[::4096])"
    limited = ["systemd-run", "--unit=eater", "-pType=oneshot", "-pMemoryMax=100M", "python3", "-c", program]
    host.run(["systemd-run", "--unit=neighbour", "sleep", "1000"])
    eater = host.run(limited, check=False)
    assert eater.returncode == {"well": 0, "killed": 1}[ends]
    assert host.show("eater", "ExecMainStatus")["ExecMainStatus"] == {"well": "0", "killed": "9"}[ends]
    assert host.show("neighbour", "ActiveState")["ActiveState"] == "active"
