"""Memory and throttling are read from either version of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.server.metrics.cgroup import ControlGroup, Throttling

GROUP = "genesis.slice/m-server.service"


def tree(root: Path, files: dict[str, str]) -> Path:
    """These files below a mount point."""
    for name, content in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root / "cgroup"


def proc(root: Path, text: str) -> Path:
    """A /proc/self/cgroup."""
    path = root / "proc"
    path.write_text(text)
    return path


V2 = {
    f"{GROUP}/memory.current": "1000\n",
    f"{GROUP}/memory.max": "8192\n",
    f"{GROUP}/memory.stat": "anon 300\nfile 700\nfile_mapped 400\nshmem 100\n",
    f"{GROUP}/cpu.stat": "usage_usec 9\nnr_periods 7\nnr_throttled 3\nthrottled_usec 1500000\n",
}
V1 = {
    f"memory/{GROUP}/memory.usage_in_bytes": "1000\n",
    f"memory/{GROUP}/memory.limit_in_bytes": "8192\n",
    f"memory/{GROUP}/memory.stat": (
        "cache 0\ntotal_cache 700\ntotal_rss 300\ntotal_mapped_file 400\ntotal_shmem 100\n"
    ),
    f"cpu/{GROUP}/cpu.stat": "nr_periods 7\nnr_throttled 3\nthrottled_time 1500000000\n",
}
HYBRID = f"4:memory:/{GROUP}\n1:cpu,cpuacct:/{GROUP}\n0::/{GROUP}\n"


@pytest.mark.parametrize(("files", "lines"), [(V2, f"0::/{GROUP}\n"), (V1, HYBRID)], ids=["v2", "v1"])
def test_cache_that_nobody_mapped_does_not_count(tmp_path: Path, files: dict[str, str], lines: str) -> None:
    """Of 700 of file cache 400 are mapped and 100 are shared memory: 200 would leave when asked."""
    group = ControlGroup.own(proc(tmp_path, lines), tree(tmp_path, files))
    assert group.memory_bytes(8200) == 800
    assert group.throttling() == Throttling(7, 3, 1.5)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """Absent memory is no zero: an alert on a share of the budget must not find rest in it."""
    group = ControlGroup.own(proc(tmp_path, HYBRID), tmp_path)
    assert group.memory_bytes(8192) is None
    assert group.throttling() == Throttling()


@pytest.mark.parametrize("bound", ["max\n", "9223372036854771712\n", "65536\n"])
def test_a_group_with_another_bound_is_not_the_server_s_own(tmp_path: Path, bound: str) -> None:
    """The embedded backend's servers live in the group of whoever runs it, with everything else there."""
    files = V2 | {f"{GROUP}/memory.max": bound}
    group = ControlGroup.own(proc(tmp_path, f"0::/{GROUP}\n"), tree(tmp_path, files))
    assert group.memory_bytes(8192) is None
