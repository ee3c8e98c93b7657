from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.errors import GenesisError
from genesis_stack.modelstore.host import read_host

GIB = 1024**3


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine of 16 GiB in no control group."""
    write(tmp_path / "proc/meminfo", "MemFree: 1 kB\nMemTotal:       16777216 kB\n")
    write(tmp_path / "proc/self/cgroup", "0::/user.slice/mine\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    """A file and its parents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_limits_the_installed_memory_counts(machine: Path) -> None:
    """MemTotal, in bytes."""
    host = read_host(machine)
    assert (host.memory, host.memory_source) == (16 * GIB, "installed")


def test_the_tightest_cgroup_of_version_2_counts(machine: Path) -> None:
    """Also a parent's limit binds us; `max` is none."""
    groups = machine / "sys/fs/cgroup"
    write(groups / "user.slice/mine/memory.max", "max\n")
    write(groups / "user.slice/memory.max", f"{4 * GIB}\n")
    write(groups / "user.slice/mine/cpu.max", "50000 100000\n")
    host = read_host(machine)
    assert (host.memory, host.cpus) == (4 * GIB, 0.5)
    assert "user.slice" in host.memory_source


def test_limits_of_cgroup_version_1_count(machine: Path) -> None:
    """Each controller has a hierarchy of its own; -1 and enormous numbers are no limits."""
    write(machine / "proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n")
    groups = machine / "sys/fs/cgroup"
    write(groups / "memory/box/memory.limit_in_bytes", f"{2 * GIB}\n")
    write(groups / "memory/memory.limit_in_bytes", "9223372036854771712\n")
    write(groups / "cpu,cpuacct/box/cpu.cfs_quota_us", "25000\n")
    write(groups / "cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    write(groups / "cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(groups / "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    host = read_host(machine)
    assert (host.memory, host.cpus) == (2 * GIB, 0.25)


def test_a_cgroup_from_outside_our_namespace_is_ignored(machine: Path) -> None:
    """Inside a container the path may lead above the mount."""
    write(machine / "proc/self/cgroup", "0::/../../other\n")
    write(machine / "sys/other/memory.max", "1\n")
    assert read_host(machine).memory == 16 * GIB


def test_a_machine_without_meminfo_points_to_no_host(tmp_path: Path) -> None:
    """What cannot be read is said, not guessed."""
    with pytest.raises(GenesisError) as caught:
        read_host(tmp_path)
    assert "--no-host" in str(caught.value.hint)


def test_this_machine_can_be_read() -> None:
    """The real files of wherever this runs."""
    host = read_host()
    assert host.memory > 0
    assert host.cpus > 0
