"""What is left when every server is gone: directories that go too, and what stays on purpose."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from genesis_stack import durable
from genesis_stack.backends import Backend
from genesis_stack.layout import Layout

RECORD: Final = "audit."
"""How the files of an audit record begin: audit.jsonl, what rotation made of it, and audit.head."""


def clear(layout: Layout, backend: Backend) -> None:
    """Remove what the servers and the tool itself have made; an audit record is evidence and stays."""
    for folder in (*layout.made, *backend.caches):
        durable.remove_tree(folder)
    for folder in (layout.logs, *reversed(backend.logs)):
        _clear_logs(folder)


def _clear_logs(folder: Path) -> None:
    """Remove all but records, and no link to a directory that still is there; none is followed."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside comes first
        if path.is_dir():
            remove_empty([path])
        elif not path.name.startswith(RECORD):
            durable.remove(path)
    remove_empty([folder])


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove directories, the inner ones first; one that is gone or holds something stays as it is."""
    for folder in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def kept(layout: Layout, backend: Backend) -> tuple[str, ...]:
    """What stays after all, and where it is."""
    found = {
        f"the model files in {layout.models}": layout.models.exists(),
        f"the secrets in {layout.secrets}": layout.secrets.exists(),
        f"your own files in {layout.config}": set(_entries(layout.config)) - {layout.secrets},
        f"the audit record in {backend.logs[0]}": backend.logs[0].exists(),
        f"the files of others that were set aside, in {layout.set_aside}": list(_entries(layout.set_aside)),
    }
    return tuple(what for what, there in found.items() if there)


def _entries(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
