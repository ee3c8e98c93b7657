"""Changes to disk that survive a power cut, each one announced to whoever injects faults.

A file appears whole or not at all: temporary file in the same directory, write, fsync, rename, fsync of the
directory (rename(2), fsync(2)). Every call that changes the host passes `step`, here and in the backends,
so that a test can kill the process or fail the call at each of them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

Hook = Callable[[str], None]
"""Called with what is about to be done, such as `rename /var/lib/genesis-stack/state.json`."""

_hook: ContextVar[Hook | None] = ContextVar("durable_hook", default=None)


@contextlib.contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Within this block, `hook` sees every change before it happens and may raise or kill."""
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)


def step(what: str) -> None:
    """Announce a change that is about to happen."""
    hook = _hook.get()
    if hook is not None:
        hook(what)


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Replace `path` with `content`, whole or not at all; the parent directory is made if missing.

    Raises:
        OSError: no space, no permission, or an I/O error; the old file is intact.
    """
    mkdir(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        step(f"write {path}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            step(f"fsync {path}")
            os.fsync(file.fileno())
        rename(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def rename(source: Path, target: Path) -> None:
    """Rename and make it last."""
    step(f"rename {target}")
    source.rename(target)
    sync_directory(target.parent)


def symlink(path: Path, target: str) -> None:
    """Point `path` at `target`, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    step(f"symlink {path}")
    temporary.symlink_to(target)
    try:
        rename(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Delete a file that may already be gone."""
    step(f"remove {path}")
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_directory(path.parent)


def remove_tree(path: Path) -> None:
    """Delete a directory and all below it; it may already be gone."""
    step(f"remove {path}")
    if path.is_dir():
        shutil.rmtree(path)
        sync_directory(path.parent)


def mkdir(path: Path, mode: int = 0o755) -> None:
    """Make a directory and its parents; what exists keeps its mode."""
    if path.is_dir():
        return
    step(f"mkdir {path}")
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the directory's entries last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        step(f"fsync {path}")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
