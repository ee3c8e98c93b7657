"""One changing run at a time."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from waiting import until

from genesis_stack.errors import ExitCode
from genesis_stack.reconcile.lock import LockedError, held


def test_the_holder_is_named(tmp_path: Path) -> None:
    """Who, what and where, with the exit code for it."""
    lock = tmp_path / "run/lock"
    with held(lock, 0, "genesis-stack apply"):
        second = held(lock, 0, "genesis-stack down")
        with pytest.raises(LockedError, match=rf"pid {os.getpid()}, genesis-stack apply") as refused, second:
            pytest.fail("two at a time")
        assert refused.value.exit_code is ExitCode.LOCKED
    with held(lock, 0, "genesis-stack down"):
        pass


def test_waiting_ends_with_the_timeout(tmp_path: Path) -> None:
    """Not earlier."""
    with held(tmp_path / "lock", 0, "one"):
        start = time.monotonic()
        with pytest.raises(LockedError), held(tmp_path / "lock", 0.3, "two"):
            pytest.fail("two at a time")
        assert time.monotonic() - start >= 0.3


def test_who_waited_for_a_lock_that_was_removed_holds_the_new_one(tmp_path: Path) -> None:
    """As `destroy` removes it: the next run finds it taken."""
    lock = tmp_path / "run/lock"
    entered, done = threading.Event(), threading.Event()

    def wait() -> None:
        with held(lock, 30, "the second"):
            entered.set()
            done.wait(30)

    def opened() -> int:
        links = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return links.count(lock)

    second = threading.Thread(target=wait)
    with held(lock, 0, "the first"):
        second.start()
        until(lambda: opened() == 2, "the second waits")
        shutil.rmtree(lock.parent)
    assert entered.wait(30)
    with pytest.raises(LockedError, match="the second"), held(lock, 0, "the third"):
        pytest.fail("two at a time")
    done.set()
    second.join()
