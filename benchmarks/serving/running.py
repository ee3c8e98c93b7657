"""One server process: started, watched from outside, ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.peers import Launch, Peer, Setup

_STARTUP_SECONDS = 300.0
_STOP_SECONDS = 20.0


class ServerFailedError(Exception):
    """A server did not come up or died; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a server process holds, from /proc (proc(5)), and how many slots it says are busy.

    Memory is anonymous memory only: pages of the mapped weights come and go with the page cache.
    """

    descriptors: int
    threads: int
    anonymous_bytes: int
    busy_slots: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers on 127.0.0.1:`port`."""

    peer: Peer
    port: int
    pid: int

    def footprint(self) -> Footprint:
        """What the process holds now."""
        proc = Path("/proc", str(self.pid))
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return Footprint(
            descriptors=len(list((proc / "fd").iterdir())),
            threads=int(status["Threads"]),
            anonymous_bytes=int(status["RssAnon"].split()[0]) * 1024,
            busy_slots=self._busy_slots(),
        )

    def cpu_seconds(self) -> float:
        """CPU time that the process has used."""
        fields = Path("/proc", str(self.pid), "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _busy_slots(self) -> int:
        if not self.peer.has_slots_route:
            return 0
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/slots", timeout=10) as answer:
            return sum(bool(slot["is_processing"]) for slot in json.load(answer))


def machine_cpu_seconds() -> float:
    """CPU time that everything on this machine has used, and what the host of a guest has taken away."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(peer: Peer, setup: Setup, scratch: Path) -> Iterator[Server]:
    """A fresh server for the time of the `with` block; its log stays in `scratch`.

    Raises:
        ServerFailedError: it ended or was not ready within five minutes.
    """
    port = _free_port()
    launch = peer.launch(setup, port, scratch)
    log = scratch / f"{peer.name.replace('/', '-')}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(word) for word in launch.argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(launch.environment),
        )
    try:
        _wait_until_ready(process, launch, port, log)
        yield Server(peer, port, process.pid)
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], launch: Launch, port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTUP_SECONDS
    while not _answers(port, launch.ready_path):
        if process.poll() is not None or time.monotonic() > deadline:
            state = "is not ready" if process.returncode is None else f"exited with {process.returncode}"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise ServerFailedError(f"{launch.argv[0]} {state}; the end of {log}:\n{tail}")
        time.sleep(0.05)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
