"""The end of log files, and what is added to them, across rotation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

POLL_SECONDS: Final = 0.2
TAIL_BYTES: Final = 512 * 1024
"""Most that is read of the end of one file."""


def tail(paths: Sequence[Path], lines: int) -> list[str]:
    """The last `lines` lines of each file, one file after the other; missing files are empty."""
    found: list[str] = []
    for path in paths:
        if lines > 0 and path.is_file():
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                found += file.read().decode(errors="replace").splitlines()[-lines:]
    return found


def follow(paths: Sequence[Path], lines: int) -> Iterator[str]:
    """The last `lines` lines of each file, then new ones as they come, without end."""
    ends = {path: path.stat().st_size if path.is_file() else 0 for path in paths}
    yield from tail(paths, lines)
    files = {path: _open(path, position) for path, position in ends.items()}
    while True:
        quiet = True
        for path, file in files.items():
            for line in _new_lines(file):
                quiet = False
                yield line
            if _rotated(path, file):
                files[path] = _open(path, 0)
        if quiet:
            time.sleep(POLL_SECONDS)


def _open(path: Path, position: int) -> TextIO | None:
    try:
        file = path.open(errors="replace")
    except FileNotFoundError:
        return None
    file.seek(position)
    return file


def _new_lines(file: TextIO | None) -> Iterator[str]:
    while file is not None:
        position = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(position)
            return
        yield line.rstrip("\n")


def _rotated(path: Path, file: TextIO | None) -> bool:
    if not path.exists():
        return False
    return file is None or path.stat().st_ino != os.fstat(file.fileno()).st_ino
