"""`genesis-serve` with a scripted engine, on a socket that the test keeps as a service manager does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from live import PROGRAM
from waiting import until

ESTABLISHED, LISTEN = "01", "0A"


class Program:
    """A running server, which can be started again on the same socket."""

    def __init__(self, config: Path, behaviour: str = "", **environment: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self._config = config
        self._environment = {**os.environ, "SCRIPTED": behaviour, **environment}
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start it (again) with `--fd`."""
        fd = self.listener.fileno()
        argv = [sys.executable, str(PROGRAM), "--config", str(self._config), "--fd", str(fd)]
        self.process = subprocess.Popen(
            argv, pass_fds=[fd], env=self._environment, stderr=subprocess.PIPE, text=True
        )
        return self.process

    def health(self) -> tuple[int, str]:
        """Status code and status."""
        response = httpx.get(f"{self.url}/health", timeout=20)
        return response.status_code, response.json()["status"]

    def connections(self) -> tuple[int, int]:
        """How many are accepted, and how many wait for that: /proc/net/tcp has both."""
        port = f":{self.listener.getsockname()[1]:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        ours = [line for line in lines if line[1].endswith(port)]
        (waiting,) = (int(line[4].split(":")[1], 16) for line in ours if line[3] == LISTEN)
        return sum(line[3] == ESTABLISHED for line in ours) - waiting, waiting

    def until_ready(self) -> None:
        """Wait for it."""
        until(lambda: self.health() == (200, "ready"), "ready")

    def end(self) -> tuple[int, str]:
        """Exit code and stderr after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr
