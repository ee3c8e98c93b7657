"""The size of a fresh virtual environment, made as the lock says."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.numbers.lines import ROOT


@dataclass(frozen=True, slots=True)
class Installation:
    """Seconds of the installation, and bytes on disk: all, and of the largest folders in site-packages."""

    seconds: float
    total: int
    largest: dict[str, int]


def fresh_installation() -> Installation:
    """Install into a new environment; pip's cache is used, so that a compiler is needed once at most."""
    with tempfile.TemporaryDirectory(prefix="numbers-") as scratch:
        environment = Path(scratch, "venv")
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.lock"], check=True)
        subprocess.run([*pip, "--no-deps", ROOT], check=True)
        seconds = time.perf_counter() - start
        (packages,) = environment.glob("lib/python*/site-packages")
        sizes = Counter({path.name: _size(path) for path in packages.iterdir()})
        return Installation(seconds, _size(environment), dict(sizes.most_common(10)))


def _size(path: Path) -> int:
    """Bytes on disk (stat(2) counts blocks of 512)."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.lstat().st_blocks * 512 for file in files)
