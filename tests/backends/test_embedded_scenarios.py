"""The shared scenarios on the embedded backend, with the real server and the real small model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_port

from backends import scenarios
from backends.scenarios import SCENARIOS, Machine
from genesis_stack.process import Completed, run

pytestmark = [pytest.mark.model, pytest.mark.timeout(180)]
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
        argv = [Path(sys.prefix) / "bin/genesis-stack", *words, "--root", self.root, "--backend", "embedded"]
        return run(argv, check=False, timeout=150)

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


@pytest.fixture
def machine(smollm2: Path) -> Iterator[Machine]:
    """A fresh tree, with a path short enough for unix sockets, emptied at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        here = Here(Path(folder), port, str(smollm2))
        try:
            yield here
        finally:
            here.cli("destroy", "--yes")


ALWAYS = (
    scenarios.a_second_apply_has_nothing_to_do,
    scenarios.a_change_under_load_loses_no_request,
    scenarios.a_server_that_is_not_ready_in_time_is_rolled_back,
)
"""The others are left to the runs that have the time."""
PARAMETERS = [
    pytest.param(one, id=one.__name__, marks=() if one in ALWAYS else pytest.mark.slow) for one in SCENARIOS
]


@pytest.mark.parametrize("scenario", PARAMETERS)
def test_embedded(scenario: Callable[[Machine], None], machine: Machine) -> None:
    """Each scenario holds without systemd."""
    scenario(machine)
