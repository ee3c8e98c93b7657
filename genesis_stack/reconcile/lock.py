"""One changing run at a time: flock(2) on a file that says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from genesis_stack.errors import ExitCode, GenesisError

POLL_SECONDS: Final = 0.1


class LockedError(GenesisError):
    """Another run holds the lock."""

    exit_code = ExitCode.LOCKED


@contextlib.contextmanager
def held(path: Path, timeout: float, what: str) -> Iterator[None]:
    """Hold the lock during the block; `what` is shown to whoever finds it taken.

    The kernel lets go of it when the process ends, however it ends.

    Raises:
        LockedError: it was not free within `timeout` seconds.
    """
    descriptor = _opened(path, time.monotonic() + timeout)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}, {what}, since {time.strftime('%H:%M:%S')}".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _opened(path: Path, deadline: float) -> int:
    """The locked file, which is the one at `path`: whoever held it before may have removed it."""
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _acquire(descriptor, path, deadline)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "an unknown process"
            raise LockedError(
                f"another run is at work: {holder}",
                hint=f"wait for it, or give --lock-timeout; the lock is {path}",
            ) from None
        return
