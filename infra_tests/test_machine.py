"""The machine is fit for its models."""

from __future__ import annotations

from typing import Final

import pytest

from genesis_stack.verify.facts import Facts
from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence

CLOCK_SECONDS: Final = 5.0
"""As far as two clocks may differ before signatures are refused."""
FREE_SHARE: Final = 0.05
FREE_BYTES: Final = 256 * 1024**2
FEATURES: Final = {"x86_64": {"avx2", "fma", "f16c"}, "aarch64": {"asimd", "asimdhp"}}
"""What llama.cpp needs to be worth its while, as /proc/cpuinfo names it."""
KERNEL: Final = (5, 10)
"""Debian 11's; what the sandbox needs is in every later one."""


def test_clock(facts: Facts, evidence: Evidence) -> None:
    """Its clock agrees with ours."""
    evidence("offset", f"{facts.clock_offset:.3f} s")
    assert abs(facts.clock_offset) <= CLOCK_SECONDS, f"it is off by {facts.clock_offset:.1f} s"


def test_clock_is_synchronized(facts: Facts, evidence: Evidence) -> None:
    """Its clock is kept right by a time service."""
    if facts.container:
        pytest.skip("a container's clock is another machine's")
    evidence("NTPSynchronized", facts.text("synchronized"))
    assert facts.text("synchronized") == "yes", "no time service keeps it: apt install systemd-timesyncd"


def test_disk(facts: Facts, evidence: Evidence) -> None:
    """The disk of the models has room left."""
    evidence("df", facts.text("disk"))
    size, _, free = map(int, facts.text("disk").splitlines()[-1].split()[1:4])
    needed = max(FREE_BYTES, int(size * FREE_SHARE))
    assert free >= needed, f"{free >> 20} MiB are free, {needed >> 20} MiB must be"


def test_memory(machine: Machine, facts: Facts, evidence: Evidence) -> None:
    """The budgets and the reserve fit into its memory."""
    evidence("memory", facts.text("memory"))
    total = int(facts.text("memory").split("MemTotal:")[1].split()[0]) * 1024
    needed = sum(one.budget.memory for one in machine.stack.models.values()) + machine.stack.defaults.reserve
    assert needed <= total, f"{needed >> 20} MiB are declared, {total >> 20} MiB are there"


def test_processor(facts: Facts, evidence: Evidence) -> None:
    """Its processor has the vector instructions that llama.cpp needs."""
    architecture = facts.text("kernel").split()[-1]
    flags = facts.text("cpu").splitlines()[0].partition(":")[2].split()
    evidence("flags", " ".join(flags))
    missing = FEATURES.get(architecture, set()) - set(flags)
    assert not missing, f"missing: {', '.join(sorted(missing))}"


def test_kernel(facts: Facts, evidence: Evidence) -> None:
    """Its kernel has what the sandbox is made of."""
    evidence("kernel", facts.text("kernel"))
    major, minor, *_ = facts.text("kernel").split()[1].split(".")
    assert (int(major), int(minor.split("-")[0])) >= KERNEL, "it is too old"


def test_huge_pages(facts: Facts, evidence: Evidence) -> None:
    """Transparent huge pages are not forbidden: without them a model decodes more slowly."""
    evidence("enabled", facts.text("hugepages"))
    assert "[never]" not in facts.text("hugepages"), (
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
    )


def test_swap(facts: Facts, evidence: Evidence) -> None:
    """Swap is off, or no server may use it."""
    total = int(facts.text("memory").split("SwapTotal:")[1].split()[0])
    limits = {model: process.limits.get("memory.swap.max") for model, process in facts.processes.items()}
    evidence("swap", f"{total} kB, limits {limits}")
    if total:
        open_ = [model for model, limit in limits.items() if limit != "0"]
        assert not open_, f"there is swap, and nothing keeps {', '.join(open_)} out of it"
