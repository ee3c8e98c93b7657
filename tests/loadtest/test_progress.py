"""What is told while a load test runs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from genesis_stack.loadtest.progress import Progress, told

NOW = Progress(seconds=63.2, users=2, answered=41, failed=1, tokens=1264)
LINE = "steady: 63 s of 305 s, 2 users, 41 answered, 1 failed, 20.0 tokens/s"
TELL = "from genesis_stack.loadtest.progress import told\nfrom pathlib import Path\nimport sys\n"
TELL += "with told(Path(sys.argv[1]), 'steady', 305): pass"


def test_a_pipe_gets_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last state always comes, as one line without control characters, on stderr alone."""
    NOW.write(tmp_path / "progress.json")
    with told(tmp_path / "progress.json", "steady", 305):
        pass
    output = capsys.readouterr()
    assert output.err == f"{LINE}\n"
    assert output.out == ""


def test_a_test_that_never_began_tells_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its error does."""
    with told(tmp_path / "progress.json", "steady", 305):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_line(tmp_path: Path) -> None:
    """What was there is cleared, and the last state stays, also where the line was cut before."""
    NOW.write(tmp_path / "progress.json")
    master, slave = pty.openpty()
    subprocess.run([sys.executable, "-c", TELL, tmp_path / "progress.json"], stderr=slave, check=True)
    os.close(slave)
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert shown == f"\r\x1b[2K{LINE}\r\n"
