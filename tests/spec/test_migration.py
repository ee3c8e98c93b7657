"""Versions of the format, with a second one that only this test knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genesis_stack.cli.migrate import migrate
from genesis_stack.errors import ExitCode
from genesis_stack.spec import migration
from genesis_stack.spec.load import load, loads
from genesis_stack.spec.migration import Migration, migrated, rename_key
from genesis_stack.spec.problems import InvalidStackError
from genesis_stack.spec.source import Source
from spec.stacks import SMALL

V1, V2 = "genesis.stack/v1", "genesis.stack/v2"
OLD = f"""\
# The first line stays.
api_version: "{V1}" # and so does this
name: small
models:
  port: # a model of this name
    prot: 8000   # three spaces before
"""


def rename(source: Source) -> Source:
    """What a version might do to another."""
    return rename_key(source, ("models", "port", "prot"), "port")


STEPS = (Migration(V1, V2, rename),)


def test_a_migration_changes_what_it_must_and_nothing_else() -> None:
    """Comments, quotes, order and spacing are as they were, and so is the file's name."""
    new = migrated(Source("stack.yaml", OLD), STEPS, V2)
    assert new.text == OLD.replace(V1, V2).replace("prot: 8000", "port: 8000")
    assert new.name == "stack.yaml"
    assert migrated(new, STEPS, V2) is new


def test_steps_follow_each_other() -> None:
    """From the oldest version to the current one in one run."""
    newest = "genesis.stack/v3"
    steps = (*STEPS, Migration(V2, newest, lambda source: rename_key(source, ("name",), "title")))
    text = migrated(Source("stack.yaml", OLD), steps, newest).text
    assert f'"{newest}" # and so does this\ntitle: small\n' in text


@pytest.mark.parametrize("word", ["genesis.stack/v0", "genesis.stack/vx", "v1", "1", "''"])
def test_what_is_no_version_is_told_at_its_line(word: str) -> None:
    """With what to write instead."""
    with pytest.raises(InvalidStackError) as caught:
        migrated(Source("stack.yaml", f"name: x\napi_version: {word}\n"), (), migration.CURRENT)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column, problem.path) == ("stack.yaml", 2, 14, "api_version")
    assert "write api_version: genesis.stack/v1" in str(problem.hint)


def test_what_is_no_stack_has_no_version() -> None:
    """It is told as `validate` tells it."""
    for text in ("", "- a list\n"):
        with pytest.raises(InvalidStackError) as caught:
            migrated(Source("stack.yaml", text), STEPS, V2)
        assert [(problem.line, problem.column) for problem in caught.value.problems] == [(1, 1)]


def test_a_key_that_is_not_there_is_not_renamed() -> None:
    """Its name may stand in the text nevertheless, and more than once in a line."""
    text = "a: {b: b, c: b} # b\n"
    assert rename_key(Source("s", text), ("b",), "x").text == text
    assert rename_key(Source("s", text), ("a", "b"), "x").text == "a: {x: b, c: b} # b\n"


def test_a_stack_of_a_newer_version_says_what_to_update_and_no_more() -> None:
    """Its unknown keys may be right there, so none of them is called wrong."""
    text = SMALL.replace("stack/v1", "stack/v7") + "later: {x: 1}\n"
    for read in (loads, lambda text: migrated(Source("stack.yaml", text), (), migration.CURRENT)):
        with pytest.raises(InvalidStackError) as caught:
            read(text)
        (problem,) = caught.value.problems
        assert (problem.file, problem.line, problem.column, problem.path) == (
            "stack.yaml",
            1,
            14,
            "api_version",
        )
        assert problem.hint == "update genesis-stack"
        assert "reads up to genesis.stack/v1" in problem.what


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack of a version before the current one, which a step leads from."""
    before = "genesis.stack/v0"
    step = Migration(before, migration.CURRENT, lambda source: rename_key(source, ("title",), "name"))
    monkeypatch.setattr(migration, "MIGRATIONS", (step,))
    path = tmp_path / "stack.yaml"
    path.write_text(SMALL.replace(migration.CURRENT, before).replace("name: small", "title: small # old"))
    return path


def call(*words: str | Path) -> Result:
    """Run the verb; the exit code is what it returns."""
    return CliRunner().invoke(migrate, [str(word) for word in words], standalone_mode=False)


def test_the_verb_rewrites_the_file_once(older: Path) -> None:
    """--check tells and leaves it; then it is written; then there is nothing to do."""
    before = older.read_text()
    with pytest.raises(InvalidStackError) as caught:
        load(older)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column, problem.path) == (str(older), 1, 14, "api_version")
    assert "genesis.stack/v0" in problem.what
    assert problem.hint == f"run `genesis-stack migrate {older}`"
    checked = call(older, "--check")
    assert checked.return_value == ExitCode.CHANGES
    assert "+name: small # old" in checked.stdout
    assert older.read_text() == before
    assert call(older).return_value == ExitCode.OK
    assert loads(older.read_text()).name == "small"
    assert "nothing to do" in call(older, "--check").stderr
