"""What a command line may say, and what becomes of one that is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest

from genesis_stack.cli.duration import duration
from genesis_stack.cli.main import main
from genesis_stack.errors import ExitCode, GenesisError

USELESS = [
    (("chat", "--json"), "--message"),
    (("status", "--stack", "stack.yaml"), "--all"),
    (("status", "--sudo"), "--all"),
    (("status", "--ssh-config", __file__), "--all"),
    (("plan", "--sudo"), "--host"),
    (("plan", "--ssh-config", __file__), "--host"),
    (("bench", "--keep"), "--synthetic"),
    (("bench", "--remove"), "--synthetic"),
    (("bench", "--folder", "."), "--synthetic"),
    (("bench", "--quick", "--within", "6m"), "--within"),
]
"""Options that would do nothing, each with the option that the message names."""


def end(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type it; the exit code."""
    monkeypatch.setattr(sys, "argv", ["genesis-stack", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(("words", "named"), USELESS, ids=lambda one: " ".join(one) if one else "")
def test_no_option_is_ignored_in_silence(
    words: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever typed it meant something."""
    assert end(monkeypatch, *words) == ExitCode.USAGE
    assert named in capsys.readouterr().err.partition("Error: ")[2]


@pytest.mark.parametrize("verb", ["cost", "dashboard"])
@pytest.mark.parametrize(
    "address", ["localhost:9090", "http://localhost:http", "ftp://localhost", "http://", ""]
)
def test_an_address_that_cannot_be_asked_is_refused(
    verb: str, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, and not with a traceback later."""
    assert end(monkeypatch, verb, "--prometheus", address) == ExitCode.USAGE
    assert "http://" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("status", "--sudo"), ("plan", "--no-such-option"), ("statsu",)])
def test_a_wrong_command_line_is_told_as_data_too(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs, as every other error; for people it stands on stderr."""
    assert end(monkeypatch, *words, "--json") == ExitCode.USAGE
    told = capsys.readouterr()
    error = json.loads(told.out)["error"]
    assert error["exit_code"] == ExitCode.USAGE
    assert error["message"] in told.err
    end(monkeypatch, *words)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words", [("--debug", "validate"), ("validate", "--debug"), ("clients", "list", "--debug")]
)
def test_a_traceback_can_be_asked_for_anywhere(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the verb, after it, and after one below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENESIS_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["genesis-stack", *words])
    with pytest.raises(GenesisError):
        main()


@pytest.mark.parametrize("text", ["90s", "90", "90.0", "1m30s"])
def test_a_duration_is_written_as_in_a_stack_or_in_seconds(text: str) -> None:
    """One way for all options."""
    assert duration(text) == 90


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e3", "", "99999d", "99999999999"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With what it must be."""
    with pytest.raises(click.BadParameter, match="must be"):
        duration(text)


def test_a_watch_takes_a_breath(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It would keep the machine busy with itself."""
    assert end(monkeypatch, "status", "--watch", "--interval", "50ms") == ExitCode.USAGE
    assert "--interval" in capsys.readouterr().err
