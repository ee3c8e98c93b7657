"""Settings of the tool: where they come from, and what wrong ones say."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout
from genesis_stack.settings import InvalidSettingsError, load_settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings stay out."""
    for name in ("ROOT", "BACKEND", "COLOUR"):
        monkeypatch.delenv(f"GENESIS_{name}", raising=False)


def config(folder: Path, text: str, name: str = "config.yaml") -> Path:
    """A configuration file."""
    path = folder / name
    path.write_text(text)
    return path


def test_flags_win_over_variables_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer a setting is to the command, the stronger it is."""
    user = config(tmp_path, "colour: always\n", "user.yaml")
    system = config(tmp_path, f"root: {tmp_path / 'system'}\ncolour: never\nbackend: systemd\n")
    monkeypatch.setenv("GENESIS_BACKEND", "embedded")
    settings = load_settings(files=[user, system], root=None)
    assert (settings.root, settings.colour, settings.backend) == (tmp_path / "system", "always", "embedded")
    assert load_settings(files=[user, system], root=tmp_path).root == tmp_path
    assert load_settings(files=[user, system], backend="auto").backend == "auto"


def test_root_moves_the_whole_tree(tmp_path: Path) -> None:
    """Nothing lies outside `--root`."""
    assert load_settings(files=[], root=tmp_path).layout == Layout.under(tmp_path)


def test_the_systemd_backend_uses_the_system_tree() -> None:
    """Without a root the backend decides."""
    assert load_settings(files=[], backend="systemd").layout == Layout.system()


def test_the_users_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file below XDG_CONFIG_HOME is read without being named."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "genesis-stack").mkdir()
    config(tmp_path / "genesis-stack", "colour: always\n")
    assert load_settings().colour == "always"


def test_an_empty_file_and_an_empty_variable_set_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is empty is as if it were not there."""
    monkeypatch.setenv("GENESIS_COLOUR", "")
    assert load_settings(files=[config(tmp_path, "# nothing yet\n")]).colour == "auto"


def test_each_wrong_setting_names_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag, the variable, or the line of the file."""
    path = config(tmp_path, "backend: auto\nroot: 3\nbackned: auto\n")
    monkeypatch.setenv("GENESIS_COLOUR", "loud")
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(files=[path], backend="docker")
    assert caught.value.exit_code is ExitCode.INVALID_CONFIG
    assert {(problem.file, problem.line) for problem in caught.value.problems} == {
        ("--backend", 0),
        ("GENESIS_COLOUR", 0),
        (str(path), 2),
        (str(path), 3),
    }


@pytest.mark.parametrize("text", ["[", "- a\n", "a\n", "colour: always\ncolour: never\n", "\x00"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Broken YAML, lists, words, duplicates and control characters all have their line."""
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(files=[config(tmp_path, text)])
    assert caught.value.problems[0].line >= 1
