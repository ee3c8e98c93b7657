"""The content-addressed store of model files.

    models/
      lock                  held by the one process that writes here
      sha256/<digest>       verified files, mode 0444; nothing else is ever in this directory
      stamps/<digest>.json  inode, size, mtime and ctime at verification: unchanged means not hashed again
      facts/<digest>.json   what the file's header says
      partial/              what is on its way; never read as a model
      quarantine/           what turned out to be something else

A file gets its name in `sha256/` by rename(2), after its size and digest were checked and its bytes synced.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack import durable
from genesis_stack.modelstore.digest import sha256
from genesis_stack.modelstore.faults import ChecksumError, DiskError, FetchError
from genesis_stack.modelstore.lock import exclusive
from genesis_stack.modelstore.quantity import show_size

HEADROOM: Final = 64 * 1024 * 1024
"""Bytes that a download leaves free on the file system."""


@dataclass(frozen=True, slots=True)
class Store:
    """The store below `root`; cheap to make, touches nothing until asked."""

    root: Path

    def path(self, digest: str) -> Path:
        """Where the file of this digest is, or will be."""
        return self.root / "sha256" / digest

    def part(self, digest: str) -> Path:
        """Where the file of this digest arrives."""
        return self.root / "partial" / digest

    def facts(self, digest: str) -> Path:
        """Where the facts of this file are cached."""
        return self.root / "facts" / f"{digest}.json"

    def digests(self) -> list[str]:
        """Every file in the store, in order of digest."""
        folder = self.root / "sha256"
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def leftovers(self) -> list[Path]:
        """What lies in `partial/` and `quarantine/`."""
        folders = [self.root / "partial", self.root / "quarantine"]
        return sorted(entry for folder in folders if folder.is_dir() for entry in folder.iterdir())

    @contextlib.contextmanager
    def writing(self, purpose: str) -> Iterator[None]:
        """Be the one process that writes to the store.

        Raises:
            DiskError: the store cannot be made or written.
        """
        try:
            for name in ("sha256", "stamps", "facts", "partial", "quarantine"):
                durable.mkdir(self.root / name)
            with exclusive(self.root / "lock", purpose):
                yield
        except PermissionError as error:
            raise DiskError(
                f"{error.filename or self.root}: permission denied",
                hint="run as the owner of the store, or choose another place with --root",
            ) from None
        except OSError as error:
            raise DiskError(f"{error.filename or self.root}: {error.strerror}") from error

    def room(self, needed: int) -> None:
        """Raise DiskError unless `needed` more bytes fit, with HEADROOM to spare."""
        free = os.statvfs(self.root)
        available = free.f_bavail * free.f_frsize
        if available < needed + HEADROOM:
            missing = needed + HEADROOM - available
            raise DiskError(
                f"{self.root}: needs {show_size(needed + HEADROOM)}, has {show_size(available)} free: "
                f"{show_size(missing)} are missing",
                hint="free some space (`genesis-stack models gc --keep 1` removes old generations and the "
                "model files that nothing else needs) or move the store",
            )

    def admit(self, part: Path, digest: str, expected: int | None, what: str) -> None:
        """Check a part that has arrived and make it a model; otherwise put it into quarantine.

        Raises:
            ChecksumError: size or digest are not the declared ones.
        """
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            found = sha256(descriptor, what)
            if found != digest or expected not in {None, size}:
                raise self._reject(part, digest=digest, found=found, size=size, expected=expected, what=what)
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
            durable.rename(part, self.path(digest))
            self._stamp(digest, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        part.with_name(f"{part.name}.json").unlink(missing_ok=True)

    def verified(self, digest: str) -> bool:
        """Whether the file is there and unchanged since it was last hashed."""
        try:
            status = self.path(digest).lstat()
            stamp = json.loads(self._stamp_of(digest).read_text())
        except (OSError, ValueError):
            return False
        return bool(stamp == _identity(status))

    def verify(self, digest: str, *, what: str) -> None:
        """Hash the file again, whatever its stamp says.

        Raises:
            FetchError: it is not there or cannot be read.
            ChecksumError: it has changed; it is in quarantine now.
        """
        path = self.path(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise FetchError(f"{path}: {error.strerror}") from error
        try:
            _protect(descriptor)
            before = os.fstat(descriptor)
            found = sha256(descriptor, what)
            if found != digest:
                raise self._reject(
                    path, digest=digest, found=found, size=before.st_size, expected=None, what=what
                )
            self._stamp(digest, before)
        finally:
            os.close(descriptor)

    def discard(self, path: Path) -> None:
        """Delete a model or a leftover; a server that has it open keeps its bytes."""
        if path.parent.name == "sha256":
            durable.remove(self.facts(path.name))
            durable.remove(self._stamp_of(path.name))
        if path.is_dir():
            durable.remove_tree(path)
        else:
            durable.remove(path)

    def sweep(self) -> None:
        """Delete what killed runs left in `partial/` and no later run can go on from."""
        for entry in (self.root / "partial").iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)

    def _stamp_of(self, digest: str) -> Path:
        return self.root / "stamps" / f"{digest}.json"

    def _stamp(self, digest: str, status: os.stat_result) -> None:
        durable.write(self._stamp_of(digest), json.dumps(_identity(status)) + "\n")

    def _reject(
        self, path: Path, *, digest: str, found: str, size: int, expected: int | None, what: str
    ) -> ChecksumError:
        jail = self.root / "quarantine" / f"{digest}.is.{found}"
        durable.rename(path, jail)
        path.with_name(f"{path.name}.json").unlink(missing_ok=True)
        self._stamp_of(digest).unlink(missing_ok=True)
        declared = f"{digest}" + (f" ({expected} bytes)" if expected is not None else "")
        return ChecksumError(
            f"{what}: this is not the declared file\n"
            f"  declared sha256 {declared}\n"
            f"  found    sha256 {found} ({size} bytes)\n"
            f"  moved to {jail}; running servers keep what they have",
            hint="run `genesis-stack models pull` to fetch it again; if the publisher replaced the file, pin "
            "the revision you want and declare the digest that its publisher states",
        )


def _protect(descriptor: int) -> None:
    """Ours, and for nobody to write, whatever was done to it meanwhile; left alone where we may not."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, 0o444)


def _identity(status: os.stat_result) -> dict[str, int]:
    return {
        "inode": status.st_ino,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }
