"""The program `genesis-serve` as a service manager sees it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from live import CHAT, PROGRAM
from serving import serve_config
from supervised import Program
from waiting import until

from genesis_stack.server.config_file import ConfigFile


@pytest.fixture
def config_path(tmp_path: Path, weights: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "serve.json"
    path.write_text(json.dumps(serve_config(weights)))
    return path


@pytest.fixture
def start(config_path: Path) -> Generator[Callable[..., Program]]:
    """Starts programs and leaves none behind."""
    programs: list[Program] = []

    def start(behaviour: str = "", **environment: str) -> Program:
        programs.append(Program(config_path, behaviour, **environment))
        return programs[-1]

    yield start
    for program in programs:
        program.listener.close()
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


@pytest.fixture
def loading(start: Callable[..., Program], tmp_path: Path) -> Program:
    """A program that loads until `gate` appears, and a request that waits for it."""
    program = start(SCRIPTED_GATE=str(tmp_path / "gate"))
    assert program.health() == (503, "starting")
    return program


def test_it_answers_while_it_loads(loading: Program, tmp_path: Path) -> None:
    """`starting` with 503; what is wrong with a request is said; the others wait for the model."""
    url = f"{loading.url}/v1/chat/completions"
    assert httpx.post(url, json={**CHAT, "n": 0}).status_code == 400
    assert httpx.post(url, json={**CHAT, "model": "x"}).status_code == 404
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, url, json=CHAT, timeout=20)
        assert loading.health() == (503, "starting")
        assert not waiting.done()
        (tmp_path / "gate").touch()
        assert waiting.result().status_code == 200
    assert loading.health() == (200, "ready")


def test_sigterm_while_it_loads_ends_at_once(loading: Program) -> None:
    """Who waits is told to come back, to the next process."""
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, f"{loading.url}/v1/chat/completions", json=CHAT, timeout=20)
        until(lambda: loading.connections() == (1, 0), "the request")
        loading.process.send_signal(signal.SIGTERM)
        assert loading.process.wait(timeout=10) == 0
        assert waiting.result().status_code == 503
        assert waiting.result().headers["retry-after"] == "1"


def test_an_engine_that_was_let_go_while_it_loaded_is_asked_for_nothing(
    start: Callable[..., Program],
) -> None:
    """Its model is freed: whoever reads of it ends the process with a signal."""
    program = start("late")
    assert program.health() == (503, "starting")
    assert program.end()[0] == 0


def test_sigterm_finishes_what_runs(start: Callable[..., Program]) -> None:
    """A stream in the middle goes on to its end; then the exit code is 0."""
    program = start("slow")
    program.until_ready()
    with httpx.stream(
        "POST", f"{program.url}/v1/chat/completions", json={**CHAT, "stream": True}
    ) as response:
        lines = response.iter_lines()
        assert "one " in next(line for line in lines if "one " in line)
        program.process.send_signal(signal.SIGTERM)
        rest = "\n".join(lines)
    assert "two" in rest
    assert "[DONE]" in rest
    code, stderr = program.end()
    assert code == 0
    assert "Traceback" not in stderr


def test_a_request_on_an_accepted_connection_is_answered(start: Callable[..., Program]) -> None:
    """Also when the signal comes first: what was accepted cannot go back to the backlog."""
    program = start()
    program.until_ready()
    until(lambda: program.connections() == (0, 0), "no connection")
    with closing(socket.create_connection(program.listener.getsockname())) as connection:
        until(lambda: program.connections() == (1, 0), "the connection")
        program.process.send_signal(signal.SIGTERM)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")


def test_a_connection_during_the_drain_waits_for_the_next_process(start: Callable[..., Program]) -> None:
    """The manager's socket keeps it: nobody is refused by a restart."""
    program = start("slow")
    program.until_ready()
    with httpx.stream(
        "POST", f"{program.url}/v1/chat/completions", json={**CHAT, "stream": True}
    ) as response:
        lines = response.iter_lines()
        next(lines)
        program.process.send_signal(signal.SIGTERM)
        until(lambda: _stops_accepting(program), "the drain")
        with closing(socket.create_connection(program.listener.getsockname())) as waiting:
            waiting.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert "data: [DONE]" in list(lines)
            old = program.process
            assert old.wait(timeout=30) == 0
            old.communicate()
            program.start()
            answer = waiting.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")


def _stops_accepting(program: Program) -> bool:
    """Whether a new connection stays in the backlog."""
    with closing(socket.create_connection(program.listener.getsockname())):
        time.sleep(0.05)
        _, waiting = program.connections()
        return waiting > 0


def test_systemd_s_sockets_are_taken_over(config_path: Path) -> None:
    """LISTEN_FDS and LISTEN_PID: descriptor 3 is the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = f"exec {sys.executable} {PROGRAM} --config {config_path} 3<&{listener.fileno()}"
        process = subprocess.Popen(
            ["/bin/bash", "-c", f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http {run}"],
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/health"
        until(lambda: httpx.get(url, timeout=20).status_code == 200, "ready")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.fixture
def manager(tmp_path: Path) -> Generator[socket.socket]:
    """The other end of $NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        yield channel


def test_the_manager_is_told(start: Callable[..., Program], manager: socket.socket) -> None:
    """READY=1 once it serves, WATCHDOG=1 while the engine moves, STOPPING=1 at the end."""
    program = start(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="400000")
    messages = _messages_until(manager, "READY=1")
    assert not any("WATCHDOG" in message for message in messages)
    assert program.health() == (200, "ready")
    _messages_until(manager, "WATCHDOG=1")
    program.process.send_signal(signal.SIGTERM)
    _messages_until(manager, "STOPPING=1")


def test_the_watchdog_is_silent_while_a_step_hangs(
    start: Callable[..., Program], manager: socket.socket
) -> None:
    """Four of its intervals pass without a beat."""
    start("hangs", NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="200000")
    _messages_until(manager, "READY=1")
    manager.settimeout(0.8)
    with pytest.raises(TimeoutError):
        manager.recv(4096)


def _messages_until(channel: socket.socket, wanted: str) -> list[str]:
    messages: list[str] = []
    while not any(wanted in message for message in messages):
        messages.append(channel.recv(4096).decode())
    return messages


@pytest.mark.parametrize("behaviour", ["broken", "dies"])
def test_a_failed_engine_is_shown_and_ends_the_process(start: Callable[..., Program], behaviour: str) -> None:
    """`failed` for a moment, so that who waits learns why; then exit code 1, for the manager to restart."""
    program = start(behaviour)
    until(lambda: program.health() == (503, "failed"), "its failure")
    _, stderr = program.process.communicate(timeout=30)
    assert program.process.returncode == 1
    assert behaviour != "broken" or "no such tensor" in stderr


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "genesis_stack.server.main", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_an_invalid_configuration_names_file_and_fields(config_path: Path) -> None:
    """Exit code 78, every error, no traceback."""
    config = json.loads(config_path.read_text())
    config["engine"]["parallel"] = 0
    config["budgets"] = {}
    config_path.write_text(json.dumps(config))
    result = _run("--config", str(config_path))
    assert result.returncode == 78
    assert f"{config_path}: engine.parallel: " in result.stderr
    assert f"{config_path}: budgets: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_model_file_that_changed_is_not_loaded(config_path: Path, weights: Path) -> None:
    """Another size is exit code 65, a missing file 78."""
    weights.write_bytes(b"other weights")
    assert _run("--config", str(config_path)).returncode == 65
    weights.unlink()
    result = _run("--config", str(config_path))
    assert result.returncode == 78
    assert str(weights) in result.stderr


def test_a_model_file_without_a_size_has_any(config_path: Path) -> None:
    """Where the stack declares a digest alone, which the store has verified."""
    config = json.loads(config_path.read_text())
    config["weights"]["size"] = None
    config_path.write_text(json.dumps(config))
    assert ConfigFile.read(config_path).config.weights.size is None


def test_a_configuration_of_an_older_version_is_read(config_path: Path) -> None:
    """A rollback starts it: what it lacks is as it was before there was a field."""
    config = json.loads(config_path.read_text())
    config["engine"].pop("spin_count", None)
    config_path.write_text(json.dumps(config))
    assert ConfigFile.read(config_path).config.engine.spin_count == 1000


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--fd", "99"), 71, "descriptor 99"),
        (("--fd", "2"), 71, "descriptor 2"),
        (("--listen", "192.0.2.1:80"), 71, "192.0.2.1:80"),
        (("--listen", "here"), 64, "HOST:PORT"),
        (("--frobnicate",), 64, "--frobnicate"),
    ],
)
def test_a_wrong_socket_or_option_is_said(
    config_path: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    """One line, and an exit code of sysexits.h."""
    result = _run("--config", str(config_path), *arguments)
    assert result.returncode == code
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_a_socket_that_does_not_listen_is_said(config_path: Path) -> None:
    """A connection handed over by mistake."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = theirs.fileno()
        argv = [
            sys.executable,
            "-m",
            "genesis_stack.server.main",
            "--config",
            str(config_path),
            "--fd",
            str(fd),
        ]
        result = subprocess.run(argv, pass_fds=[fd], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 71
    assert "does not listen" in result.stderr


def test_a_taken_port_is_said(config_path: Path) -> None:
    """With the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = _run("--config", str(config_path), "--listen", f"127.0.0.1:{port}")
    assert result.returncode == 71
    assert f"127.0.0.1:{port}" in result.stderr


def test_each_request_is_one_line_of_json(start: Callable[..., Program]) -> None:
    """With the id that the client gave, the counts and the time; polling /health is not in it."""
    program = start()
    program.until_ready()
    httpx.post(
        f"{program.url}/v1/chat/completions", json={**CHAT, "wisdom": 1}, headers={"x-request-id": "mine-1"}
    )
    httpx.get(f"{program.url}/no%0Athing", headers={"x-request-id": "bad id"})
    _, stderr = program.end()
    lines = [json.loads(line) for line in stderr.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["path"], line["status"]) for line in requests] == [
        ("/v1/chat/completions", 200),
        ("/no\nthing", 404),
    ]
    first, second = requests
    assert first["request_id"] == "mine-1"
    assert (first["completion_tokens"], first["ignored_fields"]) == (2, ["wisdom"])
    assert first["duration_ms"] >= first["ttft_ms"]
    assert len(second["request_id"]) == 32


def test_half_a_body_does_not_hold_up_the_end(start: Callable[..., Program]) -> None:
    """It gets two seconds, not its whole deadline: clients wait for the next process."""
    program = start()
    program.until_ready()
    with closing(socket.create_connection(program.listener.getsockname())) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n")
        connection.sendall(b"content-type: application/json\r\n\r\n{")
        until(lambda: program.connections() == (1, 0), "the connection")
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(timeout=7) == 0
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408")
