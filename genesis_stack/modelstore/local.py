"""Copies of files that this machine already has."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from genesis_stack.modelstore.download import Room
from genesis_stack.modelstore.faults import ChecksumError, FetchError
from genesis_stack.modelstore.progress import progress

_CHUNK: Final = 64 * 1024 * 1024


@contextlib.contextmanager
def regular(path: Path) -> Iterator[int]:
    """A descriptor of the regular file that `path`, symbolic links followed, leads to.

    Raises:
        FetchError: missing, not readable, or a directory, device or pipe.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FetchError(f"{path}: {error.strerror}", hint="give the path of a readable file") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FetchError(f"{path}: not a regular file", hint="give the path of the model file itself")
        yield descriptor
    finally:
        os.close(descriptor)


def copy(path: Path, part: Path, expected: int | None, room: Room) -> None:
    """Copy `path` to `part`, sharing blocks where the file system can (copy_file_range(2)).

    Raises:
        FetchError: the file cannot be read.
        ChecksumError: its size is not `expected`.
        DiskError: raised by `room`.
    """
    with regular(path) as source:
        size = os.fstat(source).st_size
        if expected is not None and size != expected:
            raise ChecksumError(
                f"{path}: has {size} bytes, the stack declares {expected}",
                hint="declare the size and sha256 of this file, or give the path of the declared one",
            )
        room(size)
        target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with progress(f"copying {path.name}", size) as advance:
                done = 0
                while count := _copy_some(source, target):
                    done += count
                    advance(done)
        finally:
            os.close(target)


def _copy_some(source: int, target: int) -> int:
    """Copy up to a chunk from where both stand; 0 at the end. Not all pairs of file systems share blocks."""
    try:
        return os.copy_file_range(source, target, _CHUNK)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        return os.sendfile(target, source, None, _CHUNK)
