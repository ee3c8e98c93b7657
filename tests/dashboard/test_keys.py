"""The key that `dashboard` and `cost` show to servers that want one before they tell their figures."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from program import GENESIS_STACK
from reconcile.services import service
from waiting import until

from genesis_stack.backends import Desired
from genesis_stack.layout import Layout
from genesis_stack.reconcile.generations import Generations


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[set[str | None]]:
    """What the only server of the tree below this directory has been shown so far."""
    seen: set[str | None] = set()

    class Locked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.add(self.headers["Authorization"])
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        generations = Generations(Layout.under(tmp_path))
        served = {"a": service(port=server.server_address[1])}
        generations.set_current(generations.add(Desired("s", "", {}, served, ())))
        yield seen
        server.shutdown()


@pytest.mark.parametrize("verb", [("cost",), ("dashboard", "--port", "0")], ids=lambda verb: verb[0])
def test_the_client_librarys_key_is_taken_too(
    verb: tuple[str, ...], shown: set[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file that `load` takes it from; the servers are asked with it."""
    monkeypatch.delenv("GENESIS_API_KEY", raising=False)
    monkeypatch.delenv("GENESIS_LLM_API_KEY", raising=False)
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    where = ("--root", tmp_path, "--backend", "embedded")
    environment = {**os.environ, "GENESIS_LLM_API_KEY_FILE": str(key)}
    with subprocess.Popen(
        [GENESIS_STACK, *verb, *where], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        until(lambda: shown, "a question to the server")
        running.send_signal(signal.SIGINT)
    assert shown == {"Bearer sk-1"}


@pytest.mark.parametrize("verb", ["cost", "dashboard"])
def test_a_key_that_cannot_be_read_ends_it_at_once(verb: str, tmp_path: Path) -> None:
    """With the variable's name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENESIS_")}
    done = subprocess.run(
        [GENESIS_STACK, verb, "--root", tmp_path, "--backend", "embedded"],
        env={**kept, "GENESIS_LLM_API_KEY_FILE": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 78
    assert done.stderr.startswith("error: GENESIS_LLM_API_KEY_FILE: ")
