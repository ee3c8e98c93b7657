"""A real model that leaves memory and comes back, as its user and its service manager see it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from program import GENESIS_SERVE
from serving import MODEL, serve_config
from small_model import DIGEST
from waiting import until

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]
MB = 1e6


class Program:
    """One `genesis-serve`."""

    def __init__(self, config: Path, port: int, **environment: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        argv = [GENESIS_SERVE, "--config", config, "--listen", f"127.0.0.1:{port}"]
        self.process = subprocess.Popen(
            argv,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def state(self) -> str:
        """What it says of itself; empty while it cannot be reached."""
        try:
            return str(httpx.get(f"{self.url}/health", timeout=20).json()["status"])
        except httpx.TransportError:
            return ""

    def reaches(self, state: str) -> None:
        """Wait for it."""
        until(lambda: self.state() == state, state)

    def metric(self, name: str) -> float:
        """One sample of /metrics."""
        lines = httpx.get(f"{self.url}/metrics", timeout=20).text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def resident(self) -> float:
        """Bytes of its memory."""
        return self.metric("genesis_memory_resident_bytes")

    def chat(self, tokens: int = 4) -> Any:
        """The answer's usage."""
        messages = [{"role": "user", "content": "Count."}]
        body = {"model": MODEL, "messages": messages, "max_tokens": tokens, "temperature": 0}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["usage"]

    def end(self) -> int:
        """Exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)
        return self.process.returncode


Start = Callable[..., Program]


@pytest.fixture
def start(smollm2: Path, tmp_path: Path) -> Generator[Start]:
    """Starts servers that keep their model for so many seconds, in one group if so wished."""
    running: list[Program] = []

    def start(idle_s: float, *, grouped: bool = False, **environment: str) -> Program:
        config = serve_config(smollm2)
        config["weights"]["sha256"] = DIGEST
        config["engine"] |= {"context": 2048, "parallel": 2}
        config["residency"] = {"idle_s": idle_s, "group": str(tmp_path / "group") if grouped else None}
        path = tmp_path / f"{len(running)}.json"
        path.write_text(json.dumps(config))
        port = free_port()
        running.append(Program(path, port, **environment))
        return running[-1]

    yield start
    for program in running:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


def test_memory_falls_and_the_next_request_only_waits(start: Start) -> None:
    """The weights' 98 MB and the cells are gone, and the counters go on; SIGTERM is clean."""
    program = start(0.3)
    program.reaches("ready")
    loaded = program.resident()
    program.reaches("unloaded")
    until(lambda: program.resident() < loaded - 98 * MB, program.resident)
    assert program.chat()["completion_tokens"] == 4
    program.reaches("unloaded")
    program.chat()
    program.reaches("unloaded")
    assert program.metric("llamacpp:tokens_predicted_total") == 8
    until(lambda: program.resident() < loaded - 98 * MB, program.resident)
    assert program.end() == 0


def test_the_watchdog_hears_from_an_unloaded_model(start: Start, tmp_path: Path) -> None:
    """The manager has no reason to restart it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        program = start(0, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000")
        program.reaches("unloaded")
        manager.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while manager.recv(4096):
                pass
        manager.settimeout(10)
        assert manager.recv(4096) == b"WATCHDOG=1"
        assert program.state() == "unloaded"


def test_sigterm_is_clean_in_every_state(start: Start) -> None:
    """While it loads for the first time, when it is there, when it is gone, while it comes back."""
    loading = start(60)
    loading.reaches("starting")
    assert loading.end() == 0
    there, gone, coming = start(60), start(0), start(0)
    there.reaches("ready")
    assert there.end() == 0
    gone.reaches("unloaded")
    assert gone.end() == 0
    coming.reaches("unloaded")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(httpx.post, f"{coming.url}/tokenize", json={"content": "x"}, timeout=20)
        until(lambda: coming.metric("genesis_open_connections") > 1 or asked.done(), "the request")
        assert coming.end() == 0
        assert asked.result().status_code in {200, 503}


@pytest.mark.parametrize("count", [24, pytest.param(300, marks=pytest.mark.slow)])
def test_load_and_unload_under_load_lose_no_request(start: Start, count: int) -> None:
    """It leaves whenever nobody is there for an instant."""
    program = start(0)
    program.reaches("unloaded")

    def ask(number: int) -> int:
        return int(program.chat(1 + number % 3)["completion_tokens"])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(count))) == [1 + number % 3 for number in range(count)]


def test_a_killed_holder_frees_the_memory_of_its_group(start: Start) -> None:
    """The other one, which has waited for its turn, loads; SIGTERM ends it while it waits, too."""
    holder = start(60, grouped=True)
    holder.reaches("ready")
    holder.process.send_signal(signal.SIGSTOP)  # busy, as far as anybody can see
    impatient, patient = start(60, grouped=True), start(60, grouped=True)
    impatient.reaches("starting")
    assert impatient.end() == 0
    patient.reaches("starting")
    holder.process.kill()
    patient.reaches("ready")
    assert patient.chat()["completion_tokens"] == 4


def test_two_servers_share_the_memory_of_one(start: Start) -> None:
    """Asked in turns, they are never loaded together."""
    first, second = start(60, grouped=True), start(60, grouped=True)
    until(lambda: {first.state(), second.state()} == {"ready", "unloaded"}, "one of both")
    for _ in range(3):
        for one, other in ((first, second), (second, first)):
            assert one.chat()["completion_tokens"] == 4
            assert other.metric("genesis_model_loaded") == 0
            assert (one.state(), other.state()) == ("ready", "unloaded")
    assert (first.end(), second.end()) == (0, 0)
