"""Which commits a host follows; every commit and every signature here is git's and OpenSSH's own."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genesis_stack.errors import ExitCode
from genesis_stack.gitops.attempt import Outcome, Report
from genesis_stack.gitops.record import write_record
from genesis_stack.process import run
from gitops.followed import BRANCH, Followed, host_that_follows


def assert_refused(followed: Followed, report: Report, why: str) -> None:
    """The run ends with 77 and its reason, and the host serves as before."""
    assert (report.outcome, report.exit_code) == (Outcome.REFUSED, ExitCode.BAD_SIGNATURE)
    assert re.search(why, report.reason)
    assert followed.serving() == {"a": "one"}
    assert followed.record.trouble is not None
    assert followed.record.trouble.kind == "refused"


def test_a_signed_commit_on_top_is_followed(followed: Followed) -> None:
    """From push to serving in one run."""
    revision = followed.commit({"a": "two"})
    assert followed.follow() == Report(Outcome.APPLIED, revision)
    assert followed.serving() == {"a": "two"}
    assert followed.record.applied == revision


def test_an_unsigned_commit_is_refused(followed: Followed) -> None:
    """And said to be unsigned."""
    followed.commit({"a": "two"}, signer=None)
    assert_refused(followed, followed.follow(), r"'a change' of .*ops@example\.org.* not signed")


def test_a_commit_signed_by_a_stranger_is_refused(followed: Followed) -> None:
    """A good signature of a key that the host does not allow."""
    followed.commit({"a": "two"}, signer="stranger")
    assert_refused(followed, followed.follow(), "No principal matched")


def test_a_forged_commit_is_refused(followed: Followed) -> None:
    """The signature of one commit does not hold for another content."""
    followed.commit({"a": "two"}, push=False)
    honest = followed.git("cat-file", "commit", "HEAD")
    followed.commit({"a": "evil"}, push=False)
    tree = followed.git("rev-parse", "HEAD^{tree}")
    forged = re.sub("^tree .*", f"tree {tree}", honest) + "\n"
    revision = followed.git("hash-object", "-t", "commit", "-w", "--stdin", text=forged)
    followed.git("push", "-q", followed.remote, f"{revision}:refs/heads/{BRANCH}")
    assert_refused(followed, followed.follow(), "not signed by anyone")


@pytest.mark.parametrize("part", ["a change", "Ops"])
def test_an_unsigned_commit_that_is_no_text_is_refused_and_told(followed: Followed, part: str) -> None:
    """Whoever may push can write any bytes as subject or author; they keep no refusal from being recorded."""
    followed.commit({"a": "two"}, signer=None, push=False)
    honest = followed.git("cat-file", "commit", "HEAD") + "\n"
    object_ = followed.root / "object"
    object_.write_bytes(honest.encode().replace(part.encode(), b"caf\xe9"))
    revision = followed.git("hash-object", "-t", "commit", "-w", "--literally", object_)
    followed.git("push", "-q", followed.remote, f"{revision}:refs/heads/{BRANCH}")
    assert_refused(followed, followed.follow(), "caf\N{REPLACEMENT CHARACTER}.* not signed")
    assert f"{revision} refused" in followed.record.told


@pytest.mark.parametrize("mode", ["strict", "head", "off"])
def test_every_new_commit_must_be_signed_or_the_last_or_none(tmp_path: Path, mode: str) -> None:
    """An unsigned commit below a signed one."""
    followed = host_that_follows(tmp_path, {"verify": mode})
    followed.commit({"a": "unsigned"}, signer=None)
    followed.commit({"a": "two"}, signer=None if mode == "off" else "ops")
    report = followed.follow()
    assert report.outcome is (Outcome.REFUSED if mode == "strict" else Outcome.APPLIED)


def test_an_unsigned_side_branch_that_was_merged_is_refused(followed: Followed) -> None:
    """A signed merge does not sign what it merges."""
    followed.git("checkout", "-q", "-b", "side")
    followed.commit({"a": "two"}, signer=None, push=False)
    followed.git("checkout", "-q", BRANCH)
    followed.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    followed.push()
    assert_refused(followed, followed.follow(), "it is not signed")


def test_a_branch_that_was_moved_is_refused_until_an_operator_adopts_it(followed: Followed) -> None:
    """A force push, even of signed commits; then the word of someone who is on the host."""
    followed.git("commit", "-q", "--amend", "-m", "another history")
    revision = followed.commit({"a": "two"}, push=False)
    followed.push("--force")
    report = followed.follow()
    assert_refused(followed, report, f"{BRANCH} was moved")
    write_record(followed.layout, followed.record.model_copy(update={"adopted": revision, "trouble": None}))
    assert followed.follow().outcome is Outcome.APPLIED
    assert followed.serving() == {"a": "two"}


def test_an_old_signed_commit_pushed_again_is_refused(followed: Followed) -> None:
    """Going back is a commit on top, or a rollback by hand; never a moved branch."""
    first = followed.git("rev-parse", "HEAD")
    followed.commit({"a": "two"})
    followed.follow()
    followed.git("push", "-q", "--force", followed.remote, f"{first}:refs/heads/{BRANCH}")
    report = followed.follow()
    assert (report.outcome, report.exit_code) == (Outcome.REFUSED, ExitCode.BAD_SIGNATURE)
    assert followed.serving() == {"a": "two"}


def test_nothing_in_a_repository_decides_who_may_sign(followed: Followed) -> None:
    """Allowed signers and settings that are committed, and settings and hooks in the host's own clone."""
    stranger = (followed.root / "stranger.pub").read_text()
    evil = followed.root / "evil_signers"
    evil.write_text(f"* {stranger}")
    ran = followed.root / "ran"
    for place in (followed.work, followed.files.clone):
        (place / "allowed_signers").write_text(evil.read_text())
    (followed.work / ".gitconfig").write_text(f"[gpg.ssh]\nallowedSignersFile = {evil}\n")
    program = followed.root / "says-yes"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 0\n")
    program.chmod(0o755)
    for name in ("reference-transaction", "post-fetch", "pre-auto-gc"):
        (followed.files.clone / "hooks").mkdir(exist_ok=True)
        shutil.copy(program, followed.files.clone / "hooks" / name)
    with (followed.files.clone / "config").open("a") as config:
        config.write(f'[gpg "ssh"]\nallowedSignersFile = {evil}\nprogram = {program}\n')
        config.write(f"[gpg]\nprogram = {program}\n[core]\nfsmonitor = {program}\n")
    followed.commit({"a": "two"}, signer="stranger")
    assert_refused(followed, followed.follow(), "No principal matched")
    assert not ran.exists()


def test_a_revoked_key_signs_nothing(followed: Followed) -> None:
    """Though it is still allowed."""
    shutil.copy(followed.root / "ops.pub", followed.layout.config / "revoked_signers")
    followed.commit({"a": "two"})
    assert_refused(followed, followed.follow(), "not signed by anyone")


def test_a_host_that_allows_nobody_follows_nobody(fresh: Followed) -> None:
    """And says where to write whom."""
    (fresh.layout.config / "allowed_signers").unlink()
    fresh.commit({"a": "one"})
    fresh.by_hand({"a": "one"})
    assert_refused(fresh, fresh.follow(), "nobody .*/allowed_signers")


def test_who_is_allowed_later_is_followed_then(followed: Followed) -> None:
    """A refusal is looked at again, a quarantine is not."""
    revision = followed.commit({"a": "two"}, signer="stranger")
    assert followed.follow().outcome is Outcome.REFUSED
    followed.allow("ops", "stranger")
    assert followed.follow() == Report(Outcome.APPLIED, revision)


@pytest.fixture
def pgp_homes() -> Iterator[dict[str, Path]]:
    """GnuPG homes of somebody known and somebody unknown; its sockets need short paths."""
    with tempfile.TemporaryDirectory(prefix="pgp-") as folder:
        homes = {who: Path(folder) / who for who in ("known", "unknown", "host")}
        for who, home in homes.items():
            home.mkdir(mode=0o700)
            if who != "host":
                key = ["--quick-generate-key", f"{who}@example.org", "ed25519", "sign", "never"]
                gpg(home, "--passphrase", "", *key)
        gpg(homes["host"], "--import", text=gpg(homes["known"], "--armor", "--export"))
        yield homes
        for home in homes.values():
            run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs GnuPG (Debian: gnupg)")
def test_pgp_signatures_count_for_keys_in_the_host_s_own_keyring(
    followed: Followed, pgp_homes: dict[str, Path]
) -> None:
    """Of two PGP keys, the host has imported one."""
    keyring = followed.layout.config / "gnupg"
    keyring.mkdir(mode=0o700)
    shutil.copy(pgp_homes["host"] / "pubring.kbx", keyring)
    signed_with_pgp(followed, pgp_homes["unknown"], {"a": "evil"})
    assert_refused(followed, followed.follow(), "not signed by anyone")
    followed.git("reset", "-q", "--hard", "HEAD~1")
    revision = signed_with_pgp(followed, pgp_homes["known"], {"a": "two"})
    assert followed.follow() == Report(Outcome.APPLIED, revision)


def gpg(home: Path, *words: str, text: str | None = None) -> str:
    """Run GnuPG in a home of its own."""
    return run(["gpg", "--homedir", home, "--batch", "--quiet", *words], input_text=text).stdout


def signed_with_pgp(followed: Followed, home: Path, models: dict[str, str]) -> str:
    """Commit and push with the only key of a GnuPG home."""
    followed.commit(models, signer=None, push=False)
    program = home / "gpg"
    program.write_text(f'#!/bin/sh\nexec gpg --homedir {home} "$@"\n')
    program.chmod(0o755)
    address = f"{home.name}@example.org"
    setting = ["-c", f"gpg.program={program}", "-c", "gpg.format=openpgp", "-c", f"user.signingKey={address}"]
    followed.git(*setting, "commit", "-q", "--amend", "--no-edit", "-S", signer=None)
    followed.push("--force")
    return followed.git("rev-parse", "HEAD")
