"""The kernel confines every server as declared."""

from __future__ import annotations

from typing import Final

import pytest

from genesis_stack.verify.facts import Facts, Process
from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence

CAPABILITIES: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
DYNAMIC: Final = range(61184, 65520)
"""User ids that DynamicUser= gives; see systemd.exec(5)."""
PAGE: Final = 65_536
"""Most bytes by which a kernel rounds a memory limit, on any of its architectures."""
CLOSED: Final = ("/dev/", "/home", "/root", "/run/user")
"""Device nodes, and homes that cannot be entered (tried from inside: `read_homes`)."""
PRIVATE: Final = {
    "mnt": "PrivateMounts",
    "user": "PrivateUsers",
    "ipc": "PrivateIPC",
    "net": "PrivateNetwork",
}


def unless_set(machine: Machine, model: str, *directives: str) -> None:
    """Leave the check out where the stack itself sets what it is about."""
    said = sorted(machine.policy(model).overrides.keys() & set(directives))
    if said:
        pytest.skip(f"stack.yaml itself sets {', '.join(said)}")


def test_no_new_privileges(process: Process, evidence: Evidence) -> None:
    """No setuid program can raise it (NoNewPrivs)."""
    evidence("NoNewPrivs", process.status["NoNewPrivs"])
    assert process.status["NoNewPrivs"] == "1", "NoNewPrivs is not set"


def test_seccomp(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """Its system calls are filtered (Seccomp mode 2)."""
    unless_set(machine, model, "SystemCallFilter")
    evidence("Seccomp", process.status["Seccomp"])
    assert process.status["Seccomp"] == "2", f"Seccomp is {process.status['Seccomp']}"


def test_no_capabilities(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """It has no capability, and can get none."""
    unless_set(machine, model, "CapabilityBoundingSet", "AmbientCapabilities")
    sets = {name: process.status[name] for name in CAPABILITIES}
    evidence("capabilities", sets)
    held = [name for name, bits in sets.items() if int(bits, 16)]
    assert not held, f"{', '.join(held)} not empty"


def test_user(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """It runs as a user of its own."""
    ids = process.status["Uid"].split()
    evidence("Uid", ids)
    assert "0" not in ids, "it runs as root"
    unless_set(machine, model, "DynamicUser")
    assert {int(one) for one in ids} <= set(DYNAMIC), f"its user {ids[0]} is no dynamic one"


def test_namespaces(machine: Machine, facts: Facts, model: str, process: Process, evidence: Evidence) -> None:
    """Its mounts, users, IPC and network are not those of the host."""
    evidence("server", process.namespaces)
    evidence("process 1", facts.namespaces)
    overrides = machine.policy(model).overrides
    private = [
        kind
        for kind, directive in PRIVATE.items()
        if directive not in overrides and (kind != "net" or machine.policy(model).profile == "strict")
    ]
    shared = [kind for kind in private if process.namespaces[kind] == facts.namespaces[kind]]
    assert not shared, f"shared with the host: {', '.join(shared)}"


def test_mounts(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """It sees its own model read-only, no other model, and can execute nothing that it can write."""
    unless_set(
        machine,
        model,
        "BindPaths",
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "RootDirectory",
        "NoExecPaths",
    )
    evidence("mounts", "\n".join(f"{one.point} {','.join(sorted(one.options))}" for one in process.mounts))
    points = {one.point: one for one in process.mounts}  # the last one covers those below it
    own = machine.promised.files(model)
    writable = (
        [path for path in own if "ro" not in points[path].options] if own.keys() <= points.keys() else [*own]
    )
    assert not writable, f"not mounted read-only: {', '.join(writable)}"
    store = next(iter(own)).rpartition("/")[0]
    others = [point for point in points if point.startswith(f"{store}/") and point not in own]
    assert not others, f"it sees {', '.join(others)}"
    executable = [
        one.point
        for one in points.values()
        if {"rw", "noexec"} & one.options == {"rw"} and not one.point.startswith(CLOSED)
    ]
    assert not executable, f"writable and executable: {', '.join(executable)}"


def test_memory_limit(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """The kernel holds it to its memory budget."""
    limit = process.limits.get("memory.max") or process.limits.get("memory.limit_in_bytes")
    evidence("limit", limit)
    budget = machine.model(model).budget.memory
    assert limit is not None, "its control group has no memory limit"
    assert limit.isdecimal(), "there is no limit"
    assert budget - PAGE < int(limit) <= budget, f"the limit is {limit}, the budget {budget} bytes"


def test_cpu_limit(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """The kernel holds it to its processors."""
    if "cpu.max" in process.limits:
        quota, _, period = process.limits["cpu.max"].partition(" ")
    else:
        quota = process.limits.get("cpu.cfs_quota_us", "-1")
        period = process.limits.get("cpu.cfs_period_us", "")
    evidence("quota", f"{quota} of {period} us")
    assert quota.isdecimal(), "there is no limit"
    cpus = machine.model(model).budget.cpus
    assert int(quota) / int(period) == pytest.approx(cpus, rel=0.01), f"the quota is {quota} of {period} us"


def test_tasks_limit(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """The kernel holds it to its number of threads and processes."""
    limit, tasks = process.limits.get("pids.max"), machine.model(model).budget.tasks
    evidence("pids.max", limit)
    assert limit == str(tasks), f"the limit is {limit}, the budget {tasks}"


def test_oom_policy(machine: Machine, model: str, evidence: Evidence) -> None:
    """Out of memory ends the whole server, not a part of it."""
    unless_set(machine, model, "OOMPolicy")
    if machine.program(model) is None:
        pytest.skip("there is no unit")
    policy = machine.service(model).get("OOMPolicy")
    evidence("OOMPolicy", policy)
    assert policy == "stop", f"OOMPolicy is {policy}"


def test_no_core_dumps(machine: Machine, model: str, process: Process, evidence: Evidence) -> None:
    """A crash writes no memory, and so no prompt, to disk."""
    unless_set(machine, model, "LimitCORE")
    limit = process.rlimits.get("Max core file size")
    evidence("Max core file size", limit)
    assert limit == "0", f"the limit is {limit}"


def test_never_swapped(process: Process, evidence: Evidence) -> None:
    """None of its memory is in swap."""
    swapped = process.status.get("VmSwap", "0 kB")
    evidence("VmSwap", swapped)
    assert swapped.split()[0] == "0", f"{swapped} are"


def test_exposure(machine: Machine, facts: Facts, model: str, evidence: Evidence) -> None:
    """Its exposure, as systemd rates it, is within the declared maximum."""
    if machine.program(model) is None:
        pytest.skip("there is no unit")
    limit, score = machine.policy(model).max_exposure, facts.exposures.get(model)
    evidence("exposure", f"{score}, at most {limit}")
    assert score is not None, "systemd-analyze gives no score"
    assert score <= limit, f"it is {score:g}, at most {limit:g} is allowed"
