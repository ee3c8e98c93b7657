"""Log lines: one a request, readable on terminals, matched by fields in journals."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine, saying
from serving import serving
from terminal import Terminal

from genesis_stack.engine.interface import EngineState, FinishReason
from genesis_stack.protocol.serve_config import LogsConfig, ServeConfig
from genesis_stack.server import log
from genesis_stack.server.journal import Journal

INFO = LogsConfig(level="info", content=False)
PROMPT = "the colour of the garden gate"


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.setLevel(level)
    root.handlers[:] = handlers


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """The lines of requests."""
    written = map(json.loads, stream.getvalue().splitlines())
    return [line for line in written if line["event"] == "request"]


@pytest.mark.parametrize("content", [True, False])
async def test_prompts_are_logged_only_by_choice(config: ServeConfig, content: bool) -> None:
    """And with them the answers."""
    logs = LogsConfig(level="info", content=content)
    log.configure(logs, stream := io.StringIO())
    async with serving(config.model_copy(update={"logs": logs})) as serve:
        await (await serve(ScriptedEngine(saying("painted", " green")))).chat(PROMPT)
    text = stream.getvalue()
    assert (PROMPT in text, "painted green" in text) == (content, content)


async def test_a_line_has_the_caller_s_trace_and_the_phases(config: ServeConfig) -> None:
    """From a log line to a trace and back."""
    log.configure(INFO, stream := io.StringIO())
    async with serving(config) as serve:
        served = await serve(ScriptedEngine())
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await served.post("/v1/embeddings", {"input": "a"}, traceparent=parent)
        await served.http.get("/v1/models", headers={"traceparent": parent, "x-request-id": "mine"})
        await served.chat()
    first, second, third = lines(stream)
    assert (first["request_id"], first.get("trace_id")) == ("0af7651916cd43dd8448eb211c80319c", None)
    assert (second["request_id"], second["trace_id"]) == ("mine", first["request_id"])
    assert (third["queue_ms"], third["prefill_ms"], third["decode_ms"]) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("level", "statuses"), [("debug", [503, 200, 500]), ("info", [200, 500]), ("warning", [500])]
)
async def test_the_level_is_the_stack_s(config: ServeConfig, level: str, statuses: list[int]) -> None:
    """Polls are for debugging; what failed on our side is a warning."""
    logs = LogsConfig.model_validate({"level": level, "content": False})
    log.configure(logs, stream := io.StringIO())
    async with serving(config) as serve:
        served = await serve(ScriptedEngine(saying(finish=FinishReason.ERROR)))
        served.engine.state = EngineState.STARTING
        await served.http.get("/health")
        served.engine.state = EngineState.READY
        await served.http.get("/v1/models")
        await served.chat()
    assert [line["status"] for line in lines(stream)] == statuses


@pytest.mark.parametrize("no_color", [True, False])
def test_terminals_get_colours_unless_they_are_unwanted(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    """https://no-color.org. Whatever a client sent stays on its line and out of the terminal's control."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    log.configure(INFO, stream := Terminal())
    logging.getLogger("genesis_stack.test").info("ready", extra={"path": "/a\x1b[2J\nb", "seconds": 1.5})
    (line,) = stream.getvalue().splitlines()
    assert ("\x1b[" in line) is not no_color
    assert "\x1b[2J" not in line
    assert "1.5" in line


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The journal's end of its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "journal"))
        receiver.settimeout(5)
        monkeypatch.setattr(Journal.__init__, "__defaults__", (tmp_path / "journal",))
        yield receiver


def as_journal(monkeypatch: pytest.MonkeyPatch, path: Path) -> io.TextIOWrapper:
    """A stream that systemd says it connected to the journal."""
    stream = path.open("w", encoding="utf-8")
    status = os.fstat(stream.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    return stream


def test_a_journal_gets_fields(sent: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To be matched with journalctl; the message is the whole line of JSON."""
    with as_journal(monkeypatch, tmp_path / "stderr") as stream:
        log.configure(INFO, stream)
        logging.getLogger("genesis_stack.test").warning("request", extra={"request_id": "r1", "status": 503})
    fields = dict(line.split("=", 1) for line in sent.recv(65536).decode().splitlines())
    assert fields["PRIORITY"] == "4"
    assert (fields["GENESIS_REQUEST_ID"], fields["GENESIS_STATUS"]) == ("r1", "503")
    assert json.loads(fields["MESSAGE"])["request_id"] == "r1"
    assert (tmp_path / "stderr").read_text() == ""


def test_a_value_with_a_line_break_is_no_field_of_its_own(sent: socket.socket) -> None:
    """It travels with its length, so that no client can forge a priority."""
    with closing(Journal()) as journal:
        journal.send({"MESSAGE": "a\nPRIORITY=0"})
    assert sent.recv(65536) == b"MESSAGE\n" + (12).to_bytes(8, "little") + b"a\nPRIORITY=0\n"


def test_without_the_journal_s_socket_the_priority_stands_in_front(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As sd-daemon(3) reads it from standard error."""
    monkeypatch.setattr(Journal.__init__, "__defaults__", (tmp_path / "nowhere",))
    with as_journal(monkeypatch, tmp_path / "stderr") as stream:
        log.configure(INFO, stream)
        logging.getLogger("genesis_stack.test").error("it broke")
    text = (tmp_path / "stderr").read_text()
    assert text.startswith('<3>{"time": ')


def test_an_entry_too_large_for_the_journal_goes_the_other_way(
    sent: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is lost."""
    assert sent
    with as_journal(monkeypatch, tmp_path / "stderr") as stream:
        log.configure(INFO, stream)
        logging.getLogger("genesis_stack.test").info("x" * 10_000_000)
    assert (tmp_path / "stderr").stat().st_size > 10_000_000
