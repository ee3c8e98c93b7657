"""One changing run at a time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

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
