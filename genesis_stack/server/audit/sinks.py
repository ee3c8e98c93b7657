"""Where audit records go: a file of their own, or standard output, which systemd carries to the journal."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from genesis_stack.protocol.audit import FILE_NAME, ORIGIN, BadLineError, read

HEAD: Final = "audit.head"

_TAIL_BYTES: Final = 64 * 1024
"""Of a file that are read to find its last record; no record is nearly as long."""

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_STDOUT: Final = 1


class Sink(Protocol):
    """Takes whole lines; `last` is the hash of the record that it held before, `torn` that of a torn line."""

    last: str
    torn: str | None

    def write(self, lines: bytes, last: str) -> None:
        """Keep the lines, of which the last has the hash `last`; raises OSError and then has kept none."""

    def close(self) -> None:
        """Let go of it."""


class FileSink:
    """An append-only file of mode 0600, synced to disk after each batch of records.

    It may be renamed at any time, as logrotate does: the next batch goes to a new file, and the chain goes
    on. It is locked from its opening until the first batch stands, so that of two servers that begin
    together the second continues the first. Raises OSError when it cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / FILE_NAME
        self._fd = os.open(self._path, _FLAGS, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.last, self.torn = self._mended_end()

    def write(self, lines: bytes, last: str) -> None:  # noqa: ARG002 -- the file itself holds it
        """Append and sync; a batch that does not fit on the disk is taken back."""
        self._follow_rotation()
        with self._locked():
            size = os.fstat(self._fd).st_size
            try:
                _write_all(self._fd, lines)
                os.fdatasync(self._fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, size)
                raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """While one server replaces another both write, a batch at a time."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _follow_rotation(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._path.lstat().st_ino == os.fstat(self._fd).st_ino:
                return
        fd = os.open(self._path, _FLAGS, 0o600)
        os.close(self._fd)
        self._fd = fd

    def _mended_end(self) -> tuple[str, str | None]:
        """The last record's hash; a line that a crash cut short is ended, and its own hash told."""
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        *lines, rest = tail.split(b"\n")
        torn = hashlib.sha256(rest).hexdigest() if rest else None
        if rest:
            _write_all(self._fd, b"\n")
        for line in reversed(lines):
            with contextlib.suppress(BadLineError):
                return read(line).hash, torn
        return ORIGIN, torn


class JournalSink:
    """Standard output; a small file beside it remembers the last hash, for the next run to continue.

    The file is locked until the first batch stands, as in `FileSink`.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(directory / HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.last = self._remembered()
        self.torn: str | None = None

    def write(self, lines: bytes, last: str) -> None:
        """Hand the lines over, then remember."""
        _write_all(_STDOUT, lines)
        os.pwrite(self._fd, json.dumps({"last": last}).encode(), 0)
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the memory; standard output stays."""
        os.close(self._fd)

    def _remembered(self) -> str:
        try:
            return str(json.loads(os.pread(self._fd, 4096, 0))["last"])
        except (ValueError, KeyError, TypeError):
            return ORIGIN


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
