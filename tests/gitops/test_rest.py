"""What lets the timer leave the agent alone, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genesis_stack.gitops import fingerprint, rest
from genesis_stack.gitops.attempt import Outcome
from genesis_stack.gitops.record import Suspension, last_look, write_suspension
from genesis_stack.process import run
from gitops.followed import NOW, Followed


def looks_closer(followed: Followed) -> bool:
    """Whether the very program that the unit starts asks for the agent."""
    command = [sys.executable, "-I", "-S", rest.__file__, followed.files.rest]
    return run(command, check=False).returncode != rest.AT_REST


@pytest.fixture
def resting(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> Followed:
    """Nothing is to be done, and nothing will be for an hour from now."""
    monkeypatch.setattr(fingerprint, "LOOK_SECONDS", 1e9)
    assert followed.follow().outcome is Outcome.SYNCED
    assert not looks_closer(followed)
    return followed


def edit(followed: Followed) -> None:
    """Somebody edits a config by hand."""
    (followed.layout.config / "models/a.json").write_text("{}")


def add(followed: Followed) -> None:
    """Somebody adds a file beside it."""
    (followed.layout.config / "models/a.drop-in").write_text("x")


def remove(followed: Followed) -> None:
    """Somebody removes one."""
    (followed.layout.config / "models/a.json").unlink()


def loosen(followed: Followed) -> None:
    """Somebody changes its mode alone."""
    (followed.layout.config / "models/a.json").chmod(0o666)


def swap(followed: Followed) -> None:
    """Somebody swaps the model file."""
    (model,) = (followed.layout.models / "sha256").glob("*")
    model.chmod(0o600)


def push(followed: Followed) -> None:
    """A new revision is pushed."""
    followed.commit({"a": "two"})


def move(followed: Followed) -> None:
    """The branch is moved."""
    followed.git("commit", "-q", "--amend", "-m", "other")
    followed.push("--force")


def leave(followed: Followed) -> None:
    """The repository goes away."""
    followed.remote.rename(followed.remote.with_name("away"))


def allow(followed: Followed) -> None:
    """Somebody else may sign from now on."""
    followed.allow("ops", "stranger")


def suspend(followed: Followed) -> None:
    """An operator suspends the agent."""
    write_suspension(followed.layout, Suspension(reason="a test", since=NOW))


def roll_back(followed: Followed) -> None:
    """Another generation comes into force."""
    followed.host.transaction.generations.set_current(None)


def forget(followed: Followed) -> None:
    """The file itself is gone."""
    followed.files.rest.unlink()


def spoil(followed: Followed) -> None:
    """It is damaged."""
    followed.files.rest.write_text("nonsense\n")


CHANGES = (edit, add, remove, loosen, swap, push, move, leave, allow, suspend, roll_back, forget, spoil)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_change_is_looked_at_closer(resting: Followed, change: Callable[[Followed], None]) -> None:
    """On the host or on the branch."""
    change(resting)
    assert looks_closer(resting)


def test_a_server_that_died_is_looked_at_closer(tmp_path: Path) -> None:
    """A process is told from another that has its number by when it was started."""
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file = tmp_path / "rest"
    file.write_text(f"process {server.pid} {rest.started(str(server.pid))}\n")
    assert rest.at_rest(str(file))
    server.communicate(b"\n")
    assert not rest.at_rest(str(file))
    file.write_text(f"process {os.getpid()} nonsense\n")
    assert not rest.at_rest(str(file))


def test_a_full_look_is_due_from_time_to_time(tmp_path: Path) -> None:
    """Whatever else holds."""
    file = tmp_path / "rest"
    file.write_text("until 99999999999\n")
    assert rest.at_rest(str(file))
    file.write_text("until 1\n")
    assert not rest.at_rest(str(file))


def test_each_look_is_told_by_its_time(resting: Followed) -> None:
    """So that an agent that looks no more is noticed."""
    before = last_look(resting.layout)
    assert not looks_closer(resting)
    assert last_look(resting.layout) >= before > NOW - 1e9


def test_what_is_still_to_be_done_leaves_no_rest(resting: Followed) -> None:
    """A revision that could not be tried."""
    resting.commit({"a": "two"})
    resting.follow()
    write_suspension(resting.layout, None)
    resting.remote.rename(resting.remote.with_name("away"))
    with pytest.raises(Exception, match="git repository"):
        resting.follow()
    assert not resting.files.rest.exists()


def imported(*words: object) -> set[str]:
    """What the interpreter imports for a program that ends well."""
    done = run([sys.executable, "-I", "-S", "-X", "importtime", *words])
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import")}


def test_it_imports_nothing_that_takes_time(resting: Followed) -> None:
    """Only what is part of the interpreter itself, or what any program needs to begin."""
    found = imported(rest.__file__, resting.files.rest)
    assert found - imported("-c", "") <= set(sys.builtin_module_names)
