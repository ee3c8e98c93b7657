"""One writer of the model store at a time; the others wait and say for whom."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from genesis_stack.modelstore.progress import say


@contextlib.contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file at `path` (flock(2)); the kernel lets go of it when the process ends, however.

    `purpose` is what others read while they wait.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            say(f"waiting for {holder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        program = Path(sys.argv[0]).name or "python"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{program} (pid {os.getpid()}), {purpose}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
