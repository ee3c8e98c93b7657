"""A cgroup for each test host, so that several neither see nor limit each other."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MOUNT: Final = Path("/sys/fs/cgroup")
LEFT_ALONE: Final = {"cpuset"}
"""A v1 controller that takes no process until it was given CPUs, and that systemd does not use there."""

EMPTYING: Final = 60.0
"""Seconds until a group that still has processes is an error."""


def unified() -> bool:
    """Whether this machine has cgroup v2 alone."""
    return (MOUNT / "cgroup.controllers").exists()


@contextmanager
def own_cgroup(name: str) -> Iterator[tuple[Path, ...]]:
    """Make a cgroup in every hierarchy and remove it with whatever was made below it."""
    groups = tuple(parent / name for parent in _parents())
    for group in groups:
        group.mkdir()
    try:
        yield groups
    finally:
        for group in groups:
            _remove(group)


def _parents() -> Iterator[Path]:
    """Where a new cgroup may be made: the root under v2 (where limits can be delegated), here under v1."""
    if unified():
        yield MOUNT
        return
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mount = MOUNT / (controllers.removeprefix("name=") or "unified")
        if controllers not in LEFT_ALONE and mount.is_mount():
            yield mount / path.removeprefix("/")


def _remove(group: Path) -> None:
    """The kernel takes a moment to let go of the last processes."""
    end = time.monotonic() + EMPTYING
    while True:
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.ENOENT} or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
