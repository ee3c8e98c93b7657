"""Reading the files that are ours from disk."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath


def read_files(
    paths: Iterable[PurePosixPath], live: Callable[[PurePosixPath], Path]
) -> tuple[dict[PurePosixPath, str | None], dict[PurePosixPath, int]]:
    """Content (None when missing) and permission bits of each file; bytes that are no UTF-8 are replaced."""
    contents: dict[PurePosixPath, str | None] = {}
    modes: dict[PurePosixPath, int] = {}
    for path in dict.fromkeys(paths):
        try:
            with live(path).open(errors="replace", newline="") as file:
                contents[path] = file.read()
                modes[path] = stat.S_IMODE(live(path).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            contents[path] = None
    return contents, modes
