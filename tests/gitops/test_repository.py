"""The host's own clone: how long it waits for a repository, and whose word counts on the way there."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

import pytest

from genesis_stack.errors import ExitCode
from genesis_stack.gitops import repository, rest
from genesis_stack.gitops.attempt import Outcome
from genesis_stack.gitops.repository import Repository, RepositoryError
from gitops.followed import Followed


def test_an_ssh_server_that_says_nothing_is_soon_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the patience with a whole exchange ends; by the timer's small program as well."""
    monkeypatch.setattr(repository, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(repository, "NETWORK_SECONDS", 20.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ssh://git@127.0.0.1:{silent.getsockname()[1]}/stack.git"
        clone = Repository(tmp_path / "clone.git", url, "main")
        with pytest.raises(RepositoryError, match="timed out"):
            clone.fetch()
        assert rest.said(list(clone.question)) == b""


@pytest.mark.parametrize(
    "said", ["git@host.invalid: Permission denied (publickey).", "Host key verification failed."]
)
def test_why_ssh_was_turned_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Git itself only says that it could not read."""
    program = tmp_path / "own-ssh"
    program.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(program))
    clone = Repository(tmp_path / "clone.git", "ssh://git@host.invalid/stack.git", "main")
    with pytest.raises(RepositoryError, match=re.escape(said)):
        clone.fetch()


@pytest.mark.parametrize("way", ["GIT_SSH", "GIT_SSH_COMMAND", "core.sshCommand"])
def test_how_the_host_runs_ssh_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Where it says anything of that, in git's environment or settings."""
    ran = tmp_path / "ran"
    program = tmp_path / "own-ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >>{ran}\nexit 1\n')
    program.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\nsshCommand = {program}\n" if way == "core.sshCommand" else "")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    if way != "core.sshCommand":
        monkeypatch.setenv(way, str(program))
    clone = Repository(tmp_path / "clone.git", "ssh://git@host.invalid/stack.git", "main")
    for ask in (clone.fetch, lambda: rest.said(list(clone.question))):
        with contextlib.suppress(RepositoryError):
            ask()
        assert "host.invalid" in ran.read_text()
        assert "ConnectTimeout" not in ran.read_text()
        ran.unlink()


def test_a_stack_that_is_no_text_is_quarantined(followed: Followed) -> None:
    """No later run could read it either; nothing of it is."""
    (followed.work / "stack.yaml").write_bytes(b"name: caf\xe9\n")
    followed.git("commit", "-q", "-a", "-m", "Latin-1")
    followed.push()
    report = followed.follow()
    assert (report.outcome, report.exit_code) == (Outcome.QUARANTINED, ExitCode.INVALID_CONFIG)
    assert "is not UTF-8" in report.reason
    assert followed.serving() == {"a": "one"}
