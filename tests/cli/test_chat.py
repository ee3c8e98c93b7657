"""`chat` against a server that streams what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from genesis_stack.cli.chat import ask, stream
from genesis_stack.errors import GenesisError


class Handler(BaseHTTPRequestHandler):
    """Answers with the class's status and lines, and keeps what it was asked."""

    status: ClassVar[int] = 200
    lines: ClassVar[list[str]] = []
    asked: ClassVar[list[dict[str, object]]] = []
    keys: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        """One answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(json.loads(body))
        self.keys.append(self.headers["Authorization"])
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write("\n\n".join(self.lines).encode() + b"\n\n")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server on a free port."""
    Handler.status, Handler.lines, Handler.asked, Handler.keys = 200, [], [], []
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
    answer = ask(url, {"model": "m"}, [{"role": "user", "content": "?"}])
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


def test_the_key_comes_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never from the command line, where every process could read it."""
    monkeypatch.setenv("GENESIS_API_KEY", "sk-1")
    list(stream(url, {}))
    assert Handler.keys == ["Bearer sk-1"]
