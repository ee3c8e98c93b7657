"""Clients, signatures and limits against the live program: real processes, real sockets, the real model."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from access_files import AccessFiles, bearer
from live import CHAT
from openai import OpenAI
from serving import MODEL, serve_config
from supervised import Program
from waiting import until

from genesis_stack.protocol.access import KeySlot
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.signature import CLOCK_SKEW
from genesis_stack.protocol.signing import Head, sign

PATH = "/v1/chat/completions"
SIGNING = {"main": KeySlot(expires=None, secret="robot")}


@pytest.fixture
def files(tmp_path: Path) -> AccessFiles:
    """One client that sends its key, and one that signs."""
    files = AccessFiles(tmp_path)
    files.declare("alice")
    files.declare("robot", slots=SIGNING, require_signature=True)
    return files


@pytest.fixture
def config_path(tmp_path: Path, weights: Path, files: AccessFiles) -> Path:
    """A configuration with clients."""
    path = tmp_path / "serve.json"
    path.write_text(json.dumps(serve_config(weights) | files.section()))
    return path


@pytest.fixture
def start(config_path: Path) -> Generator[Callable[[], Program]]:
    """Starts a program and ends it."""
    programs: list[Program] = []

    def start() -> Program:
        programs.append(Program(config_path))
        programs[0].until_ready()
        return programs[0]

    yield start
    for program in programs:
        program.listener.close()
        program.process.kill()
        program.process.communicate()


class RealProgram(Program):
    """The program with its real engine."""

    def start(self) -> subprocess.Popen[str]:
        """Start it with `--fd`."""
        fd = self.listener.fileno()
        argv = [sys.executable, "-m", "genesis_stack.server.main"]
        argv += ["--config", str(self._config), "--fd", str(fd)]
        self.process = subprocess.Popen(argv, pass_fds=[fd], stderr=subprocess.PIPE, text=True)
        return self.process


def signed(program: Program, key: ClientKey, body: bytes, **options: Any) -> dict[str, str]:
    """The fields of a signed chat to this program."""
    head = Head("POST", program.url.removeprefix("http://").encode(), PATH.encode())
    fields = sign(head, body, key_id=key.id, secret=key.signing_secret, **options)
    return {"content-type": "application/json", **fields}


def test_nothing_is_replayed_across_a_restart(start: Callable[[], Program], files: AccessFiles) -> None:
    """Not even by a client whose clock was ahead as far as is allowed."""
    key, program, body = files.issue("robot", "main"), start(), json.dumps(CHAT).encode()
    url = program.url + PATH

    def accepted() -> dict[str, str] | None:
        fields = signed(program, key, body, created=int(time.time()) + CLOCK_SKEW)
        return fields if httpx.post(url, content=body, headers=fields).status_code == 200 else None

    fields = until(accepted, "a signature that can be judged")
    assert httpx.post(url, content=body, headers=fields).status_code == 401
    program.end()
    program.start()
    program.until_ready()
    replayed = httpx.post(url, content=body, headers=fields)
    assert (replayed.status_code, replayed.json()["error"]["code"]) == (503, "sign_again")
    wait = int(replayed.headers["retry-after"])
    assert 1 <= wait <= CLOCK_SKEW + 1
    ahead = signed(program, key, body, created=math.ceil(time.time()) + CLOCK_SKEW)
    until(lambda: httpx.post(url, content=body, headers=ahead).status_code == 200, "the same again")


def test_a_revoked_key_is_refused_without_a_restart(start: Callable[[], Program], files: AccessFiles) -> None:
    """By the very process that has just taken it."""
    key, program = files.issue("alice"), start()
    ask = {"json": CHAT, "headers": bearer(key)}
    with httpx.Client(base_url=program.url) as http:
        assert http.post(PATH, **ask).status_code == 200
        files.revoke(key)
        assert http.post(PATH, **ask).status_code == 401
    assert program.process.poll() is None


def test_a_thousand_at_once_admit_exactly_the_allowance(
    start: Callable[[], Program], files: AccessFiles
) -> None:
    """Over real connections, while the bucket fills too slowly to matter."""
    files.declare("alice", requests_per_minute=1)
    files.declare("bob", requests_per_minute=2)
    alice, bob, program = bearer(files.issue("alice")), bearer(files.issue("bob")), start()

    async def ask() -> Counter[tuple[str, bytes]]:
        clients = [("alice", alice), ("bob", bob)] * 10
        answers = await asyncio.gather(*(fifty_chats(program, *client) for client in clients))
        return sum(answers, Counter())

    assert program.process.stderr is not None
    threading.Thread(target=program.process.stderr.read).start()  # a full pipe would stop the program
    begun = time.monotonic()
    counted = asyncio.run(ask())
    minutes = (time.monotonic() - begun) / 60
    for name, allowance in (("alice", 1), ("bob", 2)):
        admitted = counted[name, b"200"]
        assert allowance <= admitted <= allowance + int(allowance * minutes)
        assert counted[name, b"429"] == 500 - admitted
    assert counted.total() == 1000


async def fifty_chats(program: Program, name: str, headers: dict[str, str]) -> Counter[tuple[str, bytes]]:
    """Fifty chats over one connection; how often each status came."""
    host, port = program.url.removeprefix("http://").split(":")
    body = json.dumps(CHAT)
    fields = {"host": "x", "content-type": "application/json", "content-length": len(body), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    reader, writer = await asyncio.open_connection(host, int(port))
    counted: Counter[tuple[str, bytes]] = Counter()
    for _ in range(50):
        writer.write(f"POST {PATH} HTTP/1.1\r\n{head}\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        await reader.readexactly(int(length))
        counted[name, answer.split()[1]] += 1
    writer.close()
    await writer.wait_closed()
    return counted


def test_unusable_clients_end_the_start_with_the_reason(config_path: Path, files: AccessFiles) -> None:
    """Exit code 78 and one line, not a server that lets everybody in."""
    (files.directory / "clients.json").write_text("{}")
    program = Program(config_path)
    _, stderr = program.process.communicate(timeout=30)
    program.listener.close()
    assert program.process.returncode == 78
    assert "Traceback" not in stderr
    assert str(files.directory) in stderr


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> AccessFiles:
    """Clients of the real model."""
    files = AccessFiles(tmp_path_factory.mktemp("model"))
    files.declare("alice")
    return files


@pytest.fixture(scope="module")
def real(smollm2: Path, model_files: AccessFiles) -> Generator[Program]:
    """The real program with the real model."""
    path = model_files.root / "serve.json"
    path.write_text(json.dumps(serve_config(smollm2) | model_files.section()))
    program = RealProgram(path)
    program.until_ready()
    yield program
    program.listener.close()
    program.end()


@pytest.mark.model
def test_openais_sdk_works_with_a_key_and_not_without(real: Program, model_files: AccessFiles) -> None:
    """And sees the limits as it expects them."""
    model_files.declare("alice", requests_per_minute=1)
    key = model_files.issue("alice")
    hello: Any = [{"role": "user", "content": "Say hello."}]
    url = f"{real.url}/v1"
    with OpenAI(base_url=url, api_key="sk-none") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model=MODEL, messages=hello, max_tokens=4)
    with OpenAI(base_url=url, api_key=key.text, max_retries=0) as client:
        answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=hello, max_tokens=4)
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(model=MODEL, messages=hello, max_tokens=4)
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60


@pytest.mark.model
def test_who_leaves_pays_for_what_was_done(real: Program, model_files: AccessFiles) -> None:
    """The prompt and the tokens until then; the rest of 1,500 reserved ones is back at once."""
    model_files.declare("carol", tokens_per_minute=2000)
    headers = bearer(model_files.issue("carol"))
    with httpx.Client(base_url=real.url, headers=headers, timeout=60) as http:
        body = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 1500, "stream": True}
        with http.stream("POST", "/v1/completions", json=body) as answer:
            assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 600
            next(answer.iter_lines())
        until(lambda: left(http) > 1500, lambda: left(http))


def left(http: httpx.Client) -> int:
    """Tokens left."""
    return int(http.get("/v1/models").headers["x-ratelimit-remaining-tokens"])
