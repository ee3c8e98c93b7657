"""`genesis-stack audit verify`: what it says and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genesis_stack.cli.audit import audit
from genesis_stack.errors import ExitCode
from genesis_stack.protocol.audit import ORIGIN, Segment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of three requests."""
    segment = Segment(ORIGIN)
    kinds = ("start", "request", "request", "request", "stop")
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(segment.seal(kind, "2030-01-01T00:00:00.000+00:00", {}) for kind in kinds))
    return path


def verify(*arguments: str | Path) -> Result:
    """Run it."""
    return CliRunner().invoke(audit, ["verify", *map(str, arguments)], standalone_mode=False)


def test_a_whole_record_is_told_with_its_head(path: Path) -> None:
    """The hash to note elsewhere."""
    result = verify(path)
    assert result.return_value == ExitCode.OK
    assert "5 records of 3 requests, unbroken" in result.output
    head = json.loads(path.read_text().splitlines()[-1])["hash"]
    assert f"head: {head} (stop, " in result.output
    assert verify(path, "--anchor", head[:13]).return_value == ExitCode.OK


def test_a_removed_line_is_told_with_its_place(path: Path) -> None:
    """And ends with 6."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    result = verify(path)
    assert result.return_value == ExitCode.VIOLATED
    assert result.output.startswith("broken: line 3: record 2 ")


def test_a_removed_end_is_told_by_its_anchor(path: Path) -> None:
    """Nothing else can."""
    lines = path.read_bytes().splitlines(keepends=True)
    head = json.loads(lines[-1])["hash"]
    path.write_bytes(b"".join(lines[:3]))
    assert verify(path).return_value == ExitCode.OK
    assert verify(path, "--anchor", head).return_value == ExitCode.VIOLATED


def test_it_tells_programs_too(path: Path) -> None:
    """With a schema version."""
    data = json.loads(verify(path, "--json").output)
    assert (data["schema_version"], data["records"], data["broken"]) == (1, 5, None)
    path.write_text("nonsense\n")
    broken = json.loads(verify(path, "--json").output)["broken"]
    assert broken["line"] == 1
    assert broken["reason"]


def test_several_files_are_one_record(path: Path, tmp_path: Path) -> None:
    """Older ones first, as logrotate leaves them."""
    lines = path.read_bytes().splitlines(keepends=True)
    older = tmp_path / "audit.jsonl.1"
    older.write_bytes(b"".join(lines[:2]))
    path.write_bytes(b"".join(lines[2:]))
    assert "5 records" in verify(older, path).output
    assert verify(path, older).return_value == ExitCode.VIOLATED
    assert "older ones" in verify(path).output


@pytest.mark.parametrize("anchor", ["abc", "x" * 64, ""])
def test_an_anchor_that_is_none_is_a_wrong_command_line(path: Path, anchor: str) -> None:
    """Before anything is read."""
    assert "hex digits" in str(verify(path, "--anchor", anchor).exception)
