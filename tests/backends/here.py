"""This machine without systemd, as the shared scenarios see a machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from program import embedded

from genesis_stack.process import Completed

LOAD = Path(__file__).parents[1] / "hosts" / "load_client.py"


@dataclass
class Here:
    """This machine, below a directory of the test's own."""

    root: Path
    port: int
    weights: str

    @property
    def stack(self) -> str:
        """Path of the stack file."""
        return str(self.root / "stack.yaml")

    @property
    def config(self) -> str:
        """Path of the rendered config."""
        return str(self.root / "etc/genesis-stack/models/smol.json")

    def cli(self, *words: str) -> Completed:
        """Run the installed program."""
        return embedded(self.root, *words)

    def write(self, path: str, content: str) -> None:
        """Write a file."""
        Path(path).write_text(content)

    def read(self, path: str) -> str:
        """Read a file."""
        return Path(path).read_text()

    def kill(self, pid: int) -> None:
        """SIGKILL."""
        os.kill(pid, signal.SIGKILL)

    def flip_a_bit(self, digest: str) -> None:
        """Change one byte of a file in the model store."""
        path = self.root / "var/lib/genesis-stack/models/sha256" / digest
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(50_000_000)
            byte = file.read(1)
            file.seek(50_000_000)
            file.write(bytes([byte[0] ^ 1]))

    def under_load(self, threads: int, work: Callable[[], None]) -> dict[str, int]:
        """Chat while `work` runs."""
        argv = [sys.executable, str(LOAD), str(self.port), "smol", str(threads)]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as client:
            try:
                work()
            finally:
                output, _ = client.communicate("\n", timeout=120)
        counted: dict[str, int] = json.loads(output)
        return counted

    def listening(self) -> bool:
        """Whether the port accepts."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
