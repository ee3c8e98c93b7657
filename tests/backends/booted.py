"""A booted host with systemd, as the shared scenarios see a machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hosts.nspawn import Host
from hosts.verbs import cli

from genesis_stack.process import Completed

LOAD = Path(__file__).parents[1] / "hosts" / "load_client.py"


@dataclass
class Booted:
    """A host in a container."""

    host: Host
    weights: str
    port: int = 8000
    stack: str = "/root/stack.yaml"
    config: str = "/etc/genesis-stack/models/smol.json"

    def cli(self, *words: str) -> Completed:
        """Run this environment's program inside."""
        return cli(self.host, *words, timeout=180)

    def write(self, path: str, content: str) -> None:
        """Write a file inside."""
        self.host.write(path, content)

    def read(self, path: str) -> str:
        """Read a file inside."""
        return self.host.read(path)

    def kill(self, pid: int) -> None:
        """SIGKILL by the host's own process id."""
        self.host.run(["kill", "-KILL", pid])

    def flip_a_bit(self, digest: str) -> None:
        """Change one byte of a file in the model store."""
        path = f"/var/lib/genesis-stack/models/sha256/{digest}"
        self.host.run(["dd", f"of={path}", "bs=1", "seek=50000000", "conv=notrunc"], input_text="\0")

    def under_load(self, threads: int, work: Callable[[], None]) -> dict[str, int]:
        """Chat inside the host while `work` runs."""
        client = self.host.start(["python3", LOAD, self.port, "smol", threads])
        try:
            work()
        finally:
            output, _ = client.communicate("\n", timeout=120)
        counted: dict[str, int] = json.loads(output)
        return counted

    def listening(self) -> bool:
        """Whether anything listens on the port."""
        return bool(self.host.run(["ss", "-Hltn", f"sport = :{self.port}"]).stdout.strip())
