"""What is told while a load test runs."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genesis_stack.loadtest.progress import Progress, told

NOW = Progress(seconds=63.2, users=2, answered=41, failed=1, tokens=1264)
FIGURES = ["63", "305", "2", "41", "1", "20.0"]
"""Seconds so far and in all, users, answered, failed, and tokens a second."""
TELL = "from genesis_stack.loadtest.progress import told\nfrom pathlib import Path\nimport sys\n"
TELL += "with told(Path(sys.argv[1]), 'steady', 305): pass"


def test_a_pipe_gets_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last state always comes, as one line without control characters, on stderr alone."""
    NOW.write(tmp_path / "progress.json")
    with told(tmp_path / "progress.json", "steady", 305):
        pass
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.isprintable()
    assert "steady" in line
    assert re.findall(r"[\d.]+", line) == FIGURES
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
    line = re.fullmatch(r"\r\x1b\[2K([^\r\n]+)\r\n", shown)
    assert line is not None, shown
    assert re.findall(r"[\d.]+", line[1]) == FIGURES
