from __future__ import annotations

import os
from pathlib import Path

import pytest

from genesis_stack.engine import threads
from genesis_stack.engine.threads import choose_threads


@pytest.fixture
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may run on eight processors, without a quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: float("inf"))


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize(
    ("budget", "chosen"), [(4.0, 4), (2.9, 2), (0.5, 1), (64.0, 8)], ids=["whole", "down", "one", "affinity"]
)
def test_threads_fit_budget_and_affinity(budget: float, chosen: int) -> None:
    """The smallest bound decides; a fraction is rounded down, but one thread there always is."""
    assert choose_threads(0, budget) == chosen


@pytest.mark.usefixtures("processors")
def test_a_declared_number_is_taken_as_it_is() -> None:
    """Who writes a number knows why."""
    assert choose_threads(3, 1.0) == 3


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"/proc/self/cgroup": "0::/app\n", "/sys/fs/cgroup/app/cpu.max": "250000 100000\n"}, 2),
        ({"/proc/self/cgroup": "0::/app\n", "/sys/fs/cgroup/app/cpu.max": "max 100000\n"}, 8),
        (
            {
                "/proc/self/cgroup": "4:memory:/app\n3:cpu,cpuacct:/app\n",
                "/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us": "300000\n",
                "/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        ({}, 8),
        ({"/proc/self/cgroup": "0::/app\n", "/sys/fs/cgroup/app/cpu.max": "what\n"}, 8),
    ],
    ids=["v2", "v2 unlimited", "v1", "hidden", "garbled"],
)
def test_the_cgroup_quota_bounds_the_threads(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], chosen: int
) -> None:
    """cgroups(7) of both versions; where the files are hidden, the declared budget stands alone."""

    def read_text(path: Path) -> str:
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(Path, "read_text", read_text)
    assert choose_threads(0, 64.0) == chosen
