"""Secrets by name: systemd's credentials (systemd.exec(5), LoadCredential=), or files of mode 0600."""

from __future__ import annotations

import os
from pathlib import Path

Stamp = tuple[int, int, int] | None
"""Inode, size and time of change in nanoseconds; None for a file that is not there."""


def secret_path(name: str, directory: str | None) -> Path:
    """Where the secret `name` stands: in `directory`, or in $CREDENTIALS_DIRECTORY when that is None."""
    return Path(directory or os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials")) / name


def stamp(path: Path) -> Stamp:
    """What changes with the file, whether it is replaced or written to."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- for every request: Path.stat() takes longer
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
