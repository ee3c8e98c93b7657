"""The end of log files, and what is added to them, across rotation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

POLL_SECONDS: Final = 0.2
TAIL_BYTES: Final = 512 * 1024
"""Most that is read of the end of one file."""


def tail(paths: Sequence[Path], lines: int) -> list[str]:
    """The last `lines` lines of each file, one file after the other; missing files are empty."""
    found: list[str] = []
    for path in paths:
        if (file := _open(path)) is not None:
            with file:
                begun = _last_lines(file, lines)
                rest = file.read()
                found += [*begun, _text(rest)][-lines:] if rest and lines else begun
    return found


def follow(paths: Sequence[Path], lines: int) -> Iterator[str]:
    """The last `lines` lines of each file, then new ones as they come, without end."""
    files = {path: _open(path) for path in paths}
    try:
        for file in files.values():
            if file is not None:
                yield from _last_lines(file, lines)
        while True:
            quiet = True
            for path in paths:
                for line in _news(path, files):
                    quiet = False
                    yield line
            if quiet:
                time.sleep(POLL_SECONDS)
    finally:
        for file in files.values():
            if file is not None:
                file.close()


def _news(path: Path, files: dict[Path, BinaryIO | None]) -> Iterator[str]:
    """What was added to a file; when another one has its name, that is the next to be read."""
    file = files[path]
    rotated = _rotated(path, file)
    yield from _new_lines(file, ended=rotated)
    if rotated:
        files[path] = _open(path)
        if file is not None:
            file.close()


def _open(path: Path) -> BinaryIO | None:
    return path.open("rb") if path.is_file() else None


def _last_lines(file: BinaryIO, lines: int) -> list[str]:
    """The last whole lines; the file is left where the line begins that is still being written."""
    start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
    file.seek(start)
    content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    file.seek(start + len(whole))
    return [_text(line) for line in whole.split(b"\n")[:-1]][-lines:] if lines else []


def _new_lines(file: BinaryIO | None, *, ended: bool) -> Iterator[str]:
    """What was added; the last line also without its end, if nothing more will come."""
    while file is not None:
        position = file.tell()
        line = file.readline()
        if not line or not (line.endswith(b"\n") or ended):
            file.seek(position)
            return
        yield _text(line)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").removesuffix("\n").removesuffix("\r")


def _rotated(path: Path, file: BinaryIO | None) -> bool:
    """Whether another file has its name now."""
    if not path.exists():
        return False
    return file is None or path.stat().st_ino != os.fstat(file.fileno()).st_ino
