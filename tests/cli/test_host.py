"""Whose tree a verb is about, where the system has one and the user another."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack import settings
from genesis_stack.cli.host import open_host
from genesis_stack.layout import Layout
from genesis_stack.render import systemd


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The tree of a user who is not root, on a host with systemd whose system has a stack applied."""
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"GENESIS_{name.upper()}", raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr(settings, "_BOOTED_SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(systemd, "UNITS", PurePosixPath(tmp_path))
    (tmp_path / systemd.TARGET).touch()
    return Layout.user()


def test_a_user_who_runs_nothing_is_told_of_the_systems_stack(
    user: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise `status` without sudo would look as if nothing were applied; stdout stays data."""
    assert open_host(None, None).layout == user
    told = capsys.readouterr()
    assert "`sudo`" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    "why", ["a stack of their own", "root", "--root", "--backend", "no systemd", "destroyed"]
)
def test_nobody_else_is_told(
    why: str,
    user: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who looks where he means to look, and who could see nothing more as root."""
    match why:
        case "a stack of their own":
            user.state.mkdir(parents=True)
            user.current.symlink_to("generations/00001")
        case "root":
            monkeypatch.setattr(os, "geteuid", lambda: 0)
        case "no systemd":
            monkeypatch.setattr(settings, "_BOOTED_SYSTEMD", tmp_path / "none")
        case "destroyed":
            (tmp_path / systemd.TARGET).unlink()
    open_host(tmp_path if why == "--root" else None, "embedded" if why == "--backend" else None)
    assert capsys.readouterr().err == ""
