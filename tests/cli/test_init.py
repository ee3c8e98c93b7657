"""`init` as it is called: on a terminal, in a script, beside a file that is there already."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_model import DIGEST

from genesis_stack.cli.init import init
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.modelstore.source import FileSource, parse_source
from genesis_stack.spec.load import load, loads

SIZE = ("--memory", "16GiB", "--cpus", "4")


def call(*words: str | Path) -> Result:
    """Run the verb in this process, without a terminal."""
    return CliRunner().invoke(init, [str(word) for word in words], standalone_mode=False)


def test_a_script_is_asked_nothing_and_gets_a_valid_stack(tmp_path: Path) -> None:
    """What it chose is told on stderr, and as data."""
    path = tmp_path / "stack.yaml"
    done = call(path, "--root", tmp_path, *SIZE, "--users", "2", "--json")
    assert done.exception is None, done.exception
    (model,) = json.loads(done.stdout)["models"]
    assert load(path).models[model["name"]].engine.parallel == model["parallel"] == 2
    assert load(path).models[model["name"]].budget.memory == model["memory"]


def test_a_file_that_is_there_is_never_replaced_unless_asked(tmp_path: Path) -> None:
    """Not a byte of it changes."""
    path = tmp_path / "stack.yaml"
    path.write_text("mine\n")
    refused = call(path, "--root", tmp_path, *SIZE)
    assert isinstance(refused.exception, GenesisError)
    assert refused.exception.exit_code is ExitCode.USAGE
    assert path.read_text() == "mine\n"
    assert call(path, "--root", tmp_path, *SIZE, "--force").exception is None
    assert load(path).models


def test_nothing_is_written_where_nothing_fits(tmp_path: Path) -> None:
    """The sum is in the message."""
    path = tmp_path / "stack.yaml"
    refused = call(path, "--root", tmp_path, "--memory", "200MiB")
    assert isinstance(refused.exception, GenesisError)
    assert "smollm2-135m" in str(refused.exception)
    assert not path.exists()


def test_the_stack_can_be_printed(tmp_path: Path) -> None:
    """For another machine, or to look at."""
    done = call("-", "--root", tmp_path, *SIZE, "--task", "text", "--task", "vision", "--name", "two")
    assert loads(done.stdout).name == "two"
    assert list(loads(done.stdout).models) == ["llama-3-1-8b", "qwen3-vl-4b"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--memory", "8G"), "8GiB"),
        (("--model", "gpt-9"), "llama-3-1-8b"),
        (("--task", "embedding"), "--model FILE.gguf"),
        (("--task", "vision", "--model", "x.gguf"), "projector"),
        (("--json",), "give a PATH"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """Each message names the way out."""
    refused = call("-", "--root", tmp_path, *words)
    assert refused.exception is not None
    shown = (
        f"{getattr(refused.exception, 'message', refused.exception)} {getattr(refused.exception, 'hint', '')}"
    )
    assert told in shown


@pytest.mark.model
def test_a_file_of_ones_own_is_hashed_and_fitted(smollm2: Path, tmp_path: Path) -> None:
    """Its digest, its size and its shape are those of the file."""
    done = call("-", "--root", tmp_path, "--memory", "1GiB", "--model", smollm2, "--users", "3")
    assert done.exception is None, done.exception
    (model,) = loads(done.stdout).models.values()
    assert (model.weights.sha256, model.weights.size) == (DIGEST, smollm2.stat().st_size)
    assert model.weights.source == f"file://{smollm2.resolve()}"


@pytest.mark.model
def test_a_file_of_any_name_is_the_one_that_is_fetched(smollm2: Path, tmp_path: Path) -> None:
    """What would mean something else in a source stands there as %20 and the like."""
    path = tmp_path / "My Models" / "50%25 #1?\\.gguf"
    path.parent.mkdir()
    shutil.copyfile(smollm2, path)
    done = call("-", "--root", tmp_path, "--memory", "1GiB", "--model", path)
    assert done.exception is None, done.exception
    (model,) = loads(done.stdout).models.values()
    assert parse_source(model.weights.source) == FileSource(path)


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    """Two questions, and their answers are in the file."""
    ours, theirs = pty.openpty()
    path = tmp_path / "stack.yaml"
    command = [sys.executable, "-m", "genesis_stack.cli.main", "init", path, "--root", tmp_path, *SIZE]
    os.write(ours, b"both\n7\n")
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False, timeout=60)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("?") >= 2
    assert done.stdout == ""
    assert "7 users" in path.read_text()
    assert len(load(path).models) == 2
