"""genesis-stack on a test host, installed by the very commands of the README.

A test host has no network: what pip would fetch waits in a wheel house, and the host's own pip.conf points
there. llama-cpp-python comes out of pip's cache, where setting up this environment has left it built.
"""

from __future__ import annotations

import fcntl
import hashlib
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack.process import run
from hosts.nspawn import Host, boot

PROJECT: Final = Path(__file__).parents[2]
CACHE: Final = PROJECT / ".cache" / "wheels"
LOCK: Final = PROJECT / "requirements-dev.lock"
EXTRAS: Final = "load,verify"
CHAPTER: Final = "## Installing on a server"
DEBIANS_PYTHON: Final = (3, 11)
COMPILING: Final = 1800.0
INSTALLING: Final = 600.0
"""Seconds that these take at most on a busy machine; the first only where pip's cache was emptied."""


@dataclass(frozen=True, slots=True)
class WheelHouse:
    """Directories of wheels: the locked dependencies, and the project as it is now."""

    dependencies: Path
    project: Path

    @property
    def directories(self) -> tuple[Path, Path]:
        """Both; where a host's pip looks."""
        return self.dependencies, self.project


def wheel_house(scratch: Path) -> WheelHouse:
    """The project built below `scratch`, and its dependencies, which are collected once for each lock."""
    assert sys.version_info[:2] == DEBIANS_PYTHON, "test hosts have Debian's Python 3.11: use a 3.11 here too"
    _pip_wheel(scratch, "--no-deps", str(PROJECT))
    return WheelHouse(_dependencies(), scratch)


def _dependencies() -> Path:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = repr((declared["dependencies"], declared["optional-dependencies"], EXTRAS)).encode()
    house = CACHE / hashlib.sha256(wanted + LOCK.read_bytes()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not house.exists():
            wheels, pins = Path(scratch) / "wheels", Path(scratch) / "pins.txt"
            pins.write_text("".join(f"{line}\n" for line in _pinned()))
            _pip_wheel(wheels, "--constraint", str(pins), f"{PROJECT}[{EXTRAS}]")
            for own in wheels.glob("genesis_stack-*.whl"):
                own.unlink()
            shutil.move(wheels, house)
    return house


def _pinned() -> Iterator[str]:
    """The lock's versions; digests would forbid pip to build the project itself."""
    for line in LOCK.read_text().splitlines():
        if line[:1].isalnum():
            yield line.removesuffix("\\").strip()


def _pip_wheel(target: Path, *words: str) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run([*pip, "--wheel-dir", target, *words], timeout=COMPILING)


@contextmanager
def boot_installed(root: Path, wheels: WheelHouse, *, read_only: Sequence[Path] = ()) -> Iterator[Host]:
    """Boot a host on which `genesis-stack` is installed, and nothing of this environment is to be seen.

    Args:
        root: what `debian_root` gives.
        wheels: what `wheel_house` gives.
        read_only: further files and directories of this machine that the host sees at the same place.
    """
    with boot(root, read_only=(*wheels.directories, *read_only)) as host:
        install(host, wheels)
        yield host


def install(host: Host, wheels: WheelHouse) -> None:
    """Do what the README says, with the wheel house for an index."""
    found = "\n  ".join(map(str, wheels.directories))
    host.write("/etc/pip.conf", f"[global]\nno-index = true\nfind-links =\n  {found}\n")
    for words in commands():
        host.run(words, timeout=INSTALLING)


def commands() -> list[list[str]]:
    """The README's commands, as root; Debian's packages come with the root that hosts boot from."""
    chapter = (PROJECT / "README.md").read_text().partition(f"\n{CHAPTER}\n")[2].partition("\n## ")[0]
    lines = chapter.partition("```sh\n")[2].partition("```")[0].splitlines()
    told = [shlex.split(line, comments=True) for line in lines]
    assert told[0][:3] == ["sudo", "apt", "install"], f"the README lost its chapter {CHAPTER!r}"
    return [words[1:] if words[0] == "sudo" else words for words in told[1:]]
