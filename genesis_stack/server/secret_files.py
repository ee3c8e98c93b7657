"""Secrets by name: systemd's credentials (systemd.exec(5), LoadCredential=), or files of mode 0600."""

from __future__ import annotations

import os
from pathlib import Path


def secret_path(name: str, directory: str | None) -> Path:
    """Where the secret `name` stands: in `directory`, or in $CREDENTIALS_DIRECTORY when that is None."""
    return Path(directory or os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials")) / name
