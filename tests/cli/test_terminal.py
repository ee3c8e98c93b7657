"""Colours, live views and progress: on a terminal, in a pipe, and as the environment asks for."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import Terminal

from genesis_stack.cli import narration
from genesis_stack.cli.colour import coloured
from genesis_stack.cli.narration import narration as narrated

START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's & ignores it
    "from genesis_stack.cli.main import main; main()"
)
PROGRAM = (sys.executable, "-c", START)
DEADLINE = 60.0
VARIABLES = ("NO_COLOR", "FORCE_COLOR", "GENESIS_COLOUR")


@pytest.mark.parametrize(
    ("environment", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"GENESIS_COLOUR": "always"}, True, True),
        ({"GENESIS_COLOUR": "never"}, False, False),
        ({"GENESIS_COLOUR": "never", "FORCE_COLOR": "1"}, True, True),
        ({"GENESIS_COLOUR": "pink"}, True, False),
    ],
)
def test_colours_are_where_they_are_wanted(
    environment: dict[str, str], terminal: bool, pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe gets none unless it is asked for; NO_COLOR is the last word."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (coloured(Terminal()), coloured(io.StringIO())) == (terminal, pipe)


@pytest.mark.parametrize(("variable", "painted"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_an_error_is_painted_as_the_rest(variable: str, painted: bool, tmp_path: Path) -> None:
    """It is told after the verb has ended."""
    told = subprocess.run(
        [*PROGRAM, "validate", tmp_path / "none.yaml"],
        env={**os.environ, variable: "1"},
        capture_output=True,
        check=False,
        timeout=DEADLINE,
    )
    assert told.returncode == 78
    assert (b"\x1b[31m" in told.stderr) == painted


@contextmanager
def on_terminal(words: Sequence[str | Path]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program on a terminal of its own, and our end of it."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment["TERM"] = "xterm"
    running = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    try:
        yield running, ours
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def read_until(descriptor: int, wanted: str) -> str:
    """What comes from a terminal until it holds a pattern; fails after a while."""
    text, end = "", time.monotonic() + DEADLINE
    while not re.search(wanted, text, re.DOTALL):
        assert time.monotonic() < end, text
        try:
            text += os.read(descriptor, 65536).decode(errors="replace")
        except OSError:  # the other end is closed: EIO
            assert re.search(wanted, text, re.DOTALL), text
    return text


def test_a_watch_on_a_terminal_changes_one_screen_until_it_is_interrupted(tmp_path: Path) -> None:
    """It leaves the terminal as it found it, with the last look below, and that is success."""
    words = (*PROGRAM, "status", "--watch", "--interval", "0.1", "--root", tmp_path, "--backend", "embedded")
    with on_terminal(words) as (running, terminal):
        read_until(terminal, r"\x1b\[\?1049h.*generation none.*Ctrl-C ends.*Ctrl-C ends")
        running.send_signal(signal.SIGINT)
        after = read_until(terminal, r"\x1b\[\?1049l.*generation none")
        assert running.wait(DEADLINE) == 0
        assert "Traceback" not in after


@pytest.mark.parametrize("as_json", [False, True])
def test_a_watch_in_a_pipe_is_one_text_a_look(as_json: bool, tmp_path: Path) -> None:
    """No screen, no colours; as data a line each."""
    words = (*PROGRAM, "status", "--watch", "--interval", "0.1", "--root", tmp_path, "--backend", "embedded")
    flags = ("--json",) if as_json else ()
    running = subprocess.Popen((*words, *flags), stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    lines = [running.stdout.readline() for _ in range(2)]
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE)
    assert running.returncode == 0
    assert all("\x1b" not in line for line in lines)
    if as_json:
        assert [json.loads(line)["sync"] for line in lines] == ["nothing applied"] * 2


def test_a_story_in_a_pipe_goes_on_while_nothing_new_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads a log sees what is being waited for; silence is silent."""
    monkeypatch.setattr(narration, "QUIET", 0.01)
    told, end = "", time.monotonic() + DEADLINE
    with narrated() as story:
        story.say("loading")
        while "loading (" not in told:
            assert time.monotonic() < end
            told += capsys.readouterr().err
    assert told.startswith("loading\n")


def test_a_story_on_a_terminal_shows_its_last_line_with_a_clock() -> None:
    """Then it is one line among the others."""
    program = (
        "import sys\n"
        "from genesis_stack.cli.narration import narration\n"
        "with narration() as story:\n"
        "    story.say('fetching')\n"
        "    story.silent_in(lambda: print('its own progress'))()\n"
        "    story.say('loading')\n"
        "    sys.stdin.readline()\n"
        "    story.say('ready')\n"
    )
    with on_terminal((sys.executable, "-c", program)) as (running, terminal):
        read_until(terminal, r"fetching.*its own progress.*loading.*loading.*0:00:0")
        os.write(terminal, b"\n")
        read_until(terminal, r"ready")
        assert running.wait(DEADLINE) == 0
