from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genesis_stack.cli.render import render
from genesis_stack.errors import ExitCode

STACK = f"""
api_version: genesis.stack/v1
name: test
models:
  smol:
    port: 8000
    weights: {{source: "hf://owner/smol/model.gguf", sha256: {"a" * 64}}}
    budget: {{memory: 1GiB, cpus: 1}}
  other:
    port: 8001
    weights: {{source: "hf://owner/smol/model.gguf", sha256: {"b" * 64}}}
    budget: {{memory: 1GiB, cpus: 1}}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack file in a directory of its own."""
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    return path


def call(*words: str | Path) -> Result:
    """Run the verb in this process; the exit code is what it returns, as the entry point uses it."""
    return CliRunner().invoke(render, [str(word) for word in words], standalone_mode=False)


def test_what_was_rendered_passes_the_check(stack: Path) -> None:
    """`render` and then `render --check` is what CI relies on."""
    assert call(stack).return_value == ExitCode.OK
    checked = call(stack, "--check")
    assert (checked.return_value, checked.stdout) == (ExitCode.OK, "")
    assert (stack.parent / "units/smol-server.service").exists()


def test_check_shows_the_change_and_writes_nothing(stack: Path) -> None:
    """The diff is data, the exit code is 2, and the directory stays as it is."""
    call(stack)
    stack.write_text(STACK.replace("port: 8000", "port: 8010"))
    before = {path: path.read_bytes() for path in (stack.parent / "units").rglob("*") if path.is_file()}
    checked = call(stack, "--check")
    assert checked.return_value == ExitCode.CHANGES
    assert "-ListenStream=127.0.0.1:8000\n+ListenStream=127.0.0.1:8010\n" in checked.stdout
    assert before == {path: path.read_bytes() for path in before}


def test_a_model_that_left_takes_its_files_along(stack: Path) -> None:
    """Units of a removed model would be installed by whoever copies the directory."""
    call(stack)
    stack.write_text(STACK[: STACK.index("  other:")])
    removed = json.loads(call(stack, "--json").stdout)["changes"]
    assert {change["path"] for change in removed if change["action"] == "remove"} == {
        "models/other.json",
        "other-server.service",
        "other-server.socket",
    }
    assert not (stack.parent / "units/other-server.service").exists()


def test_files_of_others_are_left_alone(stack: Path) -> None:
    """Only what an earlier rendering left is ever removed."""
    foreign = [
        stack.parent / name for name in ("units/notes.service", "units/models/mine.json", "units/x.d/a.conf")
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"model": "theirs"}')
    call(stack)
    assert all(path.read_text() == '{"model": "theirs"}' for path in foreign)
