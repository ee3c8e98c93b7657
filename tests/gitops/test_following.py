"""What one run of the agent does to its host, and what it never does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from reconcile.fake_backend import BROKEN, FakeBackend

from genesis_stack import durable
from genesis_stack.backends import Service
from genesis_stack.errors import ExitCode
from genesis_stack.gitops.agent import NotFollowingError
from genesis_stack.gitops.attempt import Outcome, Report
from genesis_stack.gitops.record import (
    Suspension,
    read_suspension,
    suspend_for,
    write_suspension,
)
from genesis_stack.gitops.repository import RepositoryError
from genesis_stack.modelstore.host import read_host
from genesis_stack.reconcile.lock import LockedError, held
from genesis_stack.spec.problems import InvalidStackError
from gitops.followed import NOW, Followed, host_that_follows, stack_text


class Crash(BaseException):
    """The power goes."""


def test_a_branch_that_agrees_changes_nothing(followed: Followed) -> None:
    """Run after run."""
    before = followed.host.transaction.generations.numbers()
    assert [followed.follow().outcome for _ in range(2)] == [Outcome.SYNCED] * 2
    assert followed.host.transaction.generations.numbers() == before


def test_a_host_without_a_followed_stack_is_told_how_to_begin(fresh: Followed) -> None:
    """Nothing is guessed."""
    with pytest.raises(NotFollowingError) as told:
        fresh.follow()
    assert "genesis-stack apply" in str(told.value.hint)


def test_a_revision_that_was_rolled_back_is_not_tried_again_until_a_new_one_comes(followed: Followed) -> None:
    """The host goes back, and stays so through further runs."""
    revision = followed.commit({"a": BROKEN})
    first = followed.follow()
    assert (first.outcome, first.exit_code) == (Outcome.QUARANTINED, ExitCode.ROLLED_BACK)
    numbers = followed.host.transaction.generations.numbers()
    again = followed.follow()
    assert (again.outcome, again.revision, again.exit_code) == (
        Outcome.QUARANTINED,
        revision,
        ExitCode.ROLLED_BACK,
    )
    assert followed.host.transaction.generations.numbers() == numbers
    assert followed.serving() == {"a": "one"}
    followed.commit({"a": "two"})
    assert followed.follow().outcome is Outcome.APPLIED
    assert followed.serving() == {"a": "two"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [", "stack.yaml"),
        (stack_text({"a": "x"}, {"repository": "file:///r", "interval": "1s"}), "gitops.interval"),
    ],
)
def test_an_invalid_stack_is_quarantined(followed: Followed, text: str, says: str) -> None:
    """With 78 and the place of the mistake."""
    followed.commit_text(text)
    report = followed.follow()
    assert (report.outcome, report.exit_code) == (Outcome.QUARANTINED, ExitCode.INVALID_CONFIG)
    assert says in report.reason
    assert followed.serving() == {"a": "one"}


def test_an_empty_set_is_never_applied(tmp_path: Path) -> None:
    """Neither a stack that is gone nor one that leaves this host without a model, even with prune."""
    followed = host_that_follows(tmp_path, {"prune": True})
    followed.git("rm", "-q", "stack.yaml")
    followed.git("commit", "-q", "-m", "gone")
    followed.push()
    assert "has no stack.yaml" in followed.follow().reason
    here = {"hostname": read_host().hostname, "models": []}
    elsewhere = {"hostname": "another.example", "models": ["a"]}
    followed.more = {"hosts": {"here": here, "elsewhere": elsewhere}}
    followed.commit({"a": "two"})
    report = followed.follow()
    assert "leaves no model on this host" in report.reason
    assert report.exit_code == ExitCode.INVALID_CONFIG
    assert followed.serving() == {"a": "one"}


def test_a_model_that_left_the_branch_runs_on_without_prune(followed: Followed) -> None:
    """Over several revisions; and when it is declared again, it is as declared."""
    followed.commit({"a": "one", "b": "kept"})
    followed.follow()
    for text in ("two", "three"):
        followed.commit({"a": text})
        assert followed.follow().outcome is Outcome.APPLIED
        assert followed.serving() == {"a": text, "b": "kept"}
    assert followed.follow().outcome is Outcome.SYNCED
    followed.commit({"a": "three", "b": "back"})
    followed.follow()
    assert followed.serving() == {"a": "three", "b": "back"}
    assert list(followed.files.kept.iterdir()) == []


def test_a_model_that_left_the_branch_is_removed_with_prune(tmp_path: Path) -> None:
    """As the stack says."""
    followed = host_that_follows(tmp_path, {"prune": True}, models={"a": "one", "b": "gone"})
    followed.commit({"a": "one"})
    followed.follow()
    assert followed.serving() == {"a": "one"}


def test_a_new_model_does_not_take_the_port_of_one_that_left(followed: Followed) -> None:
    """It is said which one holds it, and what to do."""
    followed.commit({"another": "two"})
    report = followed.follow()
    assert re.search("another .*port 18900 of a,", report.reason)
    assert followed.serving() == {"a": "one"}


@pytest.mark.parametrize("heals", [True, False])
def test_drift_is_healed_where_the_stack_says_so(tmp_path: Path, heals: bool) -> None:
    """A config that somebody edited by hand."""
    followed = host_that_follows(tmp_path, {"self_heal": heals})
    config = followed.layout.config / "models/a.json"
    honest = config.read_text()
    config.write_text(honest.replace("one", "edited"))
    assert followed.follow().outcome is (Outcome.HEALED if heals else Outcome.DRIFTED)
    assert (config.read_text() == honest) is heals
    assert followed.record.drifted is not heals


def test_nothing_is_followed_while_it_is_suspended(followed: Followed) -> None:
    """Nor healed; and everything is, afterwards."""
    write_suspension(followed.layout, Suspension(reason="its disk is replaced", since=NOW))
    followed.commit({"a": "two"})
    report = followed.follow()
    assert (report.outcome, report.reason) == (Outcome.SUSPENDED, "its disk is replaced")
    assert followed.serving() == {"a": "one"}
    write_suspension(followed.layout, None)
    followed.follow()
    assert followed.serving() == {"a": "two"}


def test_a_rollback_by_hand_is_not_undone(followed: Followed) -> None:
    """It suspends the agent, whose next run would go forward again."""
    followed.commit({"a": "two"})
    followed.follow()
    assert suspend_for(followed.layout, "rolled back by hand")
    followed.host.rollback(1)
    assert followed.follow().outcome is Outcome.SUSPENDED
    assert followed.serving() == {"a": "one"}


def test_a_host_that_follows_nothing_is_not_suspended(fresh: Followed) -> None:
    """A rollback there is only a rollback."""
    assert not suspend_for(fresh.layout, "rolled back by hand")
    assert read_suspension(fresh.layout) is None


def test_a_repository_that_is_away_leaves_the_host_alone(followed: Followed) -> None:
    """It is recorded, and over when the repository is back."""
    away = followed.remote.with_name("away")
    followed.remote.rename(away)
    with pytest.raises(RepositoryError):
        followed.follow()
    assert "git repository" in followed.record.fetch_error
    assert followed.serving() == {"a": "one"}
    away.rename(followed.remote)
    assert followed.follow().outcome is Outcome.SYNCED
    assert followed.record.fetch_error == ""


def replace_in_force(followed: Followed, old: str, new: str) -> None:
    """The stack in force as an older version of genesis-stack has left it."""
    source = followed.layout.current / "stack.yaml"
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))


def test_a_stack_in_force_that_no_longer_can_be_read_keeps_nobody_from_mending_it(followed: Followed) -> None:
    """The commit with the one that can be read is fetched, checked and applied like any other."""
    replace_in_force(followed, '"name": "world"', '"name": "world", "setting_of_old": 1')
    followed.commit({"a": "two"}, signer="stranger")
    assert followed.follow().outcome is Outcome.REFUSED
    followed.git("reset", "-q", "--hard", "HEAD~1")
    revision = followed.commit({"a": "two"}, push=False)
    followed.push("--force")
    assert followed.follow() == Report(Outcome.APPLIED, revision)
    assert followed.serving() == {"a": "two"}


def test_a_stack_in_force_that_does_not_tell_what_it_follows_is_recorded(followed: Followed) -> None:
    """So that `agent status` and the alert tell of it."""
    replace_in_force(followed, '"branch": "main"', '"branch": 1')
    with pytest.raises(InvalidStackError, match=r"gitops\.branch"):
        followed.follow()
    assert "gitops.branch" in followed.record.fetch_error
    assert followed.serving() == {"a": "one"}


def test_an_operator_at_work_is_waited_for(followed: Followed) -> None:
    """The run ends with 75 and counts as no failure of the revision."""
    followed.commit({"a": "two"})
    with held(followed.layout.lock, 0, "an operator"), pytest.raises(LockedError):
        followed.follow()
    assert followed.record.trouble is None
    assert followed.follow().outcome is Outcome.APPLIED


@pytest.mark.parametrize("moment", ["journal.json", "models/a.json", "start a", "current", "record.json"])
def test_a_host_that_lost_power_in_the_middle_converges_when_it_is_back(
    followed: Followed, moment: str
) -> None:
    """Whenever that was."""
    revision = followed.commit({"a": "two"})
    seen = []

    def crash(what: str) -> None:
        fetched = followed.record.seen == revision
        if fetched and what.endswith(moment) and not seen:
            seen.append(what)
            raise Crash

    with durable.hooked(crash), pytest.raises(Crash):
        followed.follow()
    assert followed.follow().outcome in {Outcome.APPLIED, Outcome.SYNCED}
    assert followed.serving() == {"a": "two"}
    assert followed.record.applied == revision
    assert followed.record.trouble is None


class CuttingBackend(FakeBackend):
    """Its servers cut the host off from the repository when they start as `cuts`."""

    def start(self, service: Service) -> None:
        """Also move the repository away, or back."""
        super().start(service)
        remote = self.layout.config.parents[2] / "remote.git"
        away = remote.with_name("away")
        if json.loads(self.running()[service.model])["description"] == "cuts":
            remote.rename(away)
        elif away.exists():
            away.rename(remote)

    restart = start


def test_a_change_that_cuts_the_agent_off_returns_by_itself(tmp_path: Path) -> None:
    """The repository could be reached before and cannot afterwards."""
    followed = host_that_follows(tmp_path, backend=CuttingBackend)
    followed.commit({"a": "cuts"})
    report = followed.follow()
    assert (report.outcome, report.exit_code) == (Outcome.QUARANTINED, ExitCode.ROLLED_BACK)
    assert "could reach the repository" in report.reason
    assert followed.serving() == {"a": "one"}
    followed.commit({"a": "two"})
    assert followed.follow().outcome is Outcome.APPLIED


class UnpluggedBackend(FakeBackend):
    """Somebody pulls the cable, once, while a server starts as `two`."""

    def start(self, service: Service) -> None:
        """Also move the repository away."""
        super().start(service)
        remote = self.layout.config.parents[2] / "remote.git"
        pulled = remote.with_name("pulled")
        if json.loads(self.running()[service.model])["description"] == "two" and not pulled.exists():
            pulled.touch()
            remote.rename(remote.with_name("away"))

    restart = start


def test_a_host_unplugged_in_mid_apply_tries_again_when_it_is_back(tmp_path: Path) -> None:
    """The change was undone and the repository is away all the same: the change is not to blame."""
    followed = host_that_follows(tmp_path, backend=UnpluggedBackend)
    followed.commit({"a": "two"})
    report = followed.follow()
    assert (report.outcome, report.exit_code) == (Outcome.HINDERED, ExitCode.ROLLED_BACK)
    assert followed.serving() == {"a": "one"}
    (away,) = tmp_path.rglob("away")
    away.rename(away.with_name("remote.git"))
    assert followed.follow().outcome is Outcome.APPLIED
    assert followed.serving() == {"a": "two"}


def test_the_first_run_takes_a_signed_branch_as_it_is(fresh: Followed) -> None:
    """Older commits of the history may be unsigned; from then on each must be signed."""
    fresh.commit({"a": "ancient"}, signer=None)
    revision = fresh.commit({"a": "one"})
    fresh.by_hand({"a": "ancient"})
    assert fresh.follow() == Report(Outcome.APPLIED, revision)
    assert fresh.serving() == {"a": "one"}


def test_a_destroyed_host_remembers_no_branch(followed: Followed) -> None:
    """Who may sign is the operator's word and stays."""
    followed.host.destroy(keep_models=True)
    assert not followed.files.root.exists()
    assert (followed.layout.config / "allowed_signers").exists()
