"""`chat` against a server that streams what it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from waiting import until

from genesis_stack.cli.api_key import api_key
from genesis_stack.cli.chat import Answer, ask, stream
from genesis_stack.errors import GenesisError


class Handler(BaseHTTPRequestHandler):
    """Answers with the class's status and lines, and keeps what it was asked."""

    status: ClassVar[int] = 200
    lines: ClassVar[list[str]] = []
    asked: ClassVar[list[dict[str, object]]] = []
    keys: ClassVar[list[str | None]] = []
    held: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        """One answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(json.loads(body))
        self.keys.append(self.headers["Authorization"])
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write("\n\n".join(self.lines).encode() + b"\n\n")
        self.held.wait()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server on a free port."""
    Handler.status, Handler.lines, Handler.asked, Handler.keys = 200, [], [], []
    Handler.held.set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def event(**fields: object) -> str:
    """One server-sent event."""
    return "data: " + json.dumps(fields)


def test_an_answer_is_printed_as_it_comes_with_its_speed(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text on stdout, tokens/s and time to the first token on stderr."""
    Handler.lines = [
        event(choices=[{"delta": {"role": "assistant"}}]),
        event(choices=[{"delta": {"content": "Pa"}}]),
        event(choices=[{"delta": {"content": "ris"}}]),
        event(choices=[], usage={"completion_tokens": 2}),
        "data: [DONE]",
    ]
    answer = Answer()
    ask(url, {"model": "m"}, [{"role": "user", "content": "?"}], answer)
    printed = capsys.readouterr()
    assert printed.out == "Paris\n"
    assert "tokens/s" in printed.err
    assert answer.usage == {"completion_tokens": 2}
    assert Handler.asked[0]["messages"] == [{"role": "user", "content": "?"}]


def test_a_refusal_is_told_in_the_servers_words(url: str) -> None:
    """No traceback, no HTML: its message."""
    Handler.status, Handler.lines = 400, [json.dumps({"error": {"message": "too long"}})]
    with pytest.raises(GenesisError, match="too long"):
        list(stream(url, {}))


def test_an_error_in_the_stream_is_not_lost(url: str) -> None:
    """After status 200 the server can only say it in the stream."""
    Handler.lines = [event(error={"message": "engine died"})]
    with pytest.raises(GenesisError, match="engine died"):
        list(stream(url, {}))


def test_no_server_is_an_error_with_a_hint() -> None:
    """Nothing listens there."""
    with pytest.raises(GenesisError) as refused:
        list(stream("http://127.0.0.1:9", {}))
    assert "genesis-stack status" in str(refused.value.hint)


TALK = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from genesis_stack.cli.chat import converse; converse(sys.argv[1], {}, [])"
)


def test_an_interrupted_answer_stays_as_far_as_it_came(url: str) -> None:
    """The next question is asked with it; what is interrupted before its first word, is not."""
    Handler.lines = [event(choices=[{"delta": {"content": "Par"}}])]
    Handler.held.clear()
    with subprocess.Popen(
        [sys.executable, "-c", TALK, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as talk:
        assert talk.stdin is not None
        assert talk.stdout is not None
        talk.stdin.write(b"France?\n")
        assert talk.stdout.read(3) == b"Par"
        Handler.lines = []
        talk.send_signal(signal.SIGINT)
        talk.stdin.write(b"Spain?\n")
        until(lambda: len(Handler.asked) == 2, "the second question")
        talk.send_signal(signal.SIGINT)
        talk.stdin.write(b"Italy?\n")
        until(lambda: len(Handler.asked) == 3, "the third question")
        Handler.held.set()
        talk.stdin.close()
        assert talk.wait(30) == 0
    kept = [{"role": "user", "content": "France?"}, {"role": "assistant", "content": "Par"}]
    assert [one["messages"] for one in Handler.asked[1:]] == [
        [*kept, {"role": "user", "content": "Spain?"}],
        [*kept, {"role": "user", "content": "Italy?"}],
    ]


KEYS = ("GENESIS_API_KEY", "GENESIS_LLM_API_KEY", "GENESIS_LLM_API_KEY_FILE")


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's own stay out."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_keys")
def test_the_key_comes_from_the_environment(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never from the command line, where every process could read it; the tool's own variable is first."""
    list(stream(url, {}))
    (tmp_path / "key").write_text("sk-3\n")
    for name, value in zip(reversed(KEYS), (str(tmp_path / "key"), "sk-2", "sk-1"), strict=True):
        monkeypatch.setenv(name, value)
        list(stream(url, {}))
    assert Handler.keys == [None, "Bearer sk-3", "Bearer sk-2", "Bearer sk-1"]


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("name", "value"),
    [("GENESIS_LLM_API_KEY_FILE", "/none"), ("GENESIS_API_KEY", "kl\u00fc"), (KEYS[1], "a b")],
)
def test_what_is_no_key_is_refused_with_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent, and without the key."""
    monkeypatch.setenv(name, value)
    with pytest.raises(GenesisError, match=f"^{name}: ") as refused:
        api_key()
    assert name == KEYS[2] or value not in str(refused.value)
