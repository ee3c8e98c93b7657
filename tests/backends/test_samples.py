"""What is read off a `/metrics`."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from genesis_stack.backends.samples import ask, totals

TEXT = """\
# HELP sent What was sent.
# TYPE sent counter
sent{to="a b"} 2
sent{to="c"} 3.5
up 1
bytes 1.5e+06

nothing to be read
"""


def test_samples_of_one_name_are_added_up() -> None:
    """Whatever labels they have; comments and what is no sample are passed over."""
    assert totals(TEXT) == {"sent": 5.5, "up": 1.0, "bytes": 1.5e6}


class Answers(BaseHTTPRequestHandler):
    """200 with the text at `/metrics` while `good`, and 503 otherwise."""

    good = True

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200 if self.good and self.path == "/metrics" else 503)
        self.end_headers()
        self.wfile.write(TEXT.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server answers so."""
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_only_a_good_answer_has_samples(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there, or says that it cannot answer, has none."""
    answered = ask(http.client.HTTPConnection("127.0.0.1", port, timeout=10))
    assert answered is not None
    assert answered["up"] == 1
    monkeypatch.setattr(Answers, "good", False)
    assert ask(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) is None
    assert ask(http.client.HTTPConnection("127.0.0.1", 1, timeout=10)) is None
