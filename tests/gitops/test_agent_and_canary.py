"""What the agent makes of a canary: of being it, and of waiting for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconcile.fake_backend import BROKEN

from genesis_stack.gitops.attempt import Outcome
from genesis_stack.gitops.board import FILE, BranchBoard
from genesis_stack.gitops.canary import KEY, NAMESPACE, Canary
from genesis_stack.gitops.repository import Repository
from genesis_stack.modelstore.host import read_host
from genesis_stack.process import run
from genesis_stack.spec.load import loads
from gitops.followed import Followed


def fleet(tmp_path: Path, lead: str) -> Followed:
    """This machine is `here`, `lead` goes first; it has a key to sign its verdicts with."""
    followed = Followed(tmp_path, {"canary": {"host": lead, "profile": "steady"}})
    hosts = {"here": {"hostname": read_host().hostname}, "there": {"hostname": "there.invalid"}}
    followed.more = {"hosts": hosts, "load": {"steady": {"users": 1, "duration": "1s"}}}
    key = followed.layout.secrets / KEY
    key.parent.mkdir(mode=0o700, parents=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    public = key.with_suffix(".pub").read_text().strip()
    with (followed.layout.config / "allowed_signers").open("a") as signers:
        signers.write(f'{lead} namespaces="{NAMESPACE}" {public}\n')
    return followed


def canary_of(followed: Followed, here: str) -> Canary:
    """The canary as one of the hosts sees it."""
    stack = loads((followed.work / "stack.yaml").read_text())
    repository = Repository(followed.root / "other.git", followed.gitops["repository"], "main")
    found = Canary.of(stack, here, repository, followed.layout)
    assert found is not None
    return found


def begin(followed: Followed) -> None:
    """Model `a` serves what the first revision says."""
    followed.by_hand({"a": "one"})
    followed.commit({"a": "one"})


@pytest.mark.parametrize(("description", "passed"), [("two", True), (BROKEN, False), ("slow", False)])
def test_the_canary_tells_how_a_revision_held(tmp_path: Path, description: str, passed: bool) -> None:
    """Healthy and under load; what does not hold is rolled back there."""
    followed = fleet(tmp_path, "here")
    begin(followed)
    followed.follow()
    revision = followed.commit({"a": description})
    report = followed.follow()
    assert report.outcome is (Outcome.APPLIED if passed else Outcome.QUARANTINED)
    assert followed.serving() == {"a": description if passed else "one"}
    verdict = canary_of(followed, "there").verdict_on(revision)
    assert verdict is not None
    assert (verdict.host, verdict.passed) == ("here", passed)


def test_a_verdict_that_could_not_be_published_is_published_with_the_next_run(tmp_path: Path) -> None:
    """Good or bad: the others wait for it."""
    followed = fleet(tmp_path, "here")
    begin(followed)
    followed.follow()
    key = followed.layout.secrets / KEY
    for description in ("two", BROKEN):
        revision = followed.commit({"a": description})
        key.rename(key.with_name("away"))
        followed.follow()
        assert canary_of(followed, "there").verdict_on(revision) is None
        assert not followed.files.rest.exists()
        key.with_name("away").rename(key)
        followed.follow()
        assert canary_of(followed, "there").verdict_on(revision) is not None


def test_the_others_wait_for_the_canary_and_follow_it(tmp_path: Path) -> None:
    """And take nothing that did not hold there."""
    followed = fleet(tmp_path, "there")
    begin(followed)
    revision = followed.commit({"a": "two"})
    assert [followed.follow().outcome for _ in range(2)] == [Outcome.WAITING] * 2
    assert followed.serving() == {"a": "one"}
    canary_of(followed, "there").publish(revision, passed=True)
    assert followed.follow().outcome is Outcome.APPLIED
    assert followed.serving() == {"a": "two"}
    revision = followed.commit({"a": "three"})
    canary_of(followed, "there").publish(revision, passed=False, reason="a promise does not hold")
    report = followed.follow()
    assert (report.outcome, "a promise does not hold" in report.reason) == (Outcome.QUARANTINED, True)
    assert followed.serving() == {"a": "two"}


def test_a_verdict_that_is_no_text_says_nothing_of_the_revision(tmp_path: Path) -> None:
    """Nobody's word is taken from it: the host waits for one that can be read."""
    followed = fleet(tmp_path, "there")
    begin(followed)
    revision = followed.commit({"a": "two"})
    canary = canary_of(followed, "there")
    canary.publish(revision, passed=True)
    assert isinstance(canary.board, BranchBoard)
    followed.git("fetch", "-q", followed.remote, canary.board.ref)
    followed.git("checkout", "-q", "--detach", "FETCH_HEAD")
    (followed.work / FILE).write_bytes(b"\xff")
    followed.git("commit", "-q", "-a", "-m", "no text")
    followed.git("push", "-q", followed.remote, f"HEAD:{canary.board.ref}")
    report = followed.follow()
    assert (report.outcome, "UTF-8" in report.reason) == (Outcome.HINDERED, True)
    assert followed.serving() == {"a": "one"}
