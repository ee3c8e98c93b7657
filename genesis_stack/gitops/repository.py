"""The host's own bare clone of the repository that it follows, driven by git(1) plumbing.

Nothing that the repository holds is ever executed: there is no work tree, and hooks, file system monitors,
submodules and replace refs are switched off on every command line, which wins over any configuration file.
Credentials are the business of the host's own git and SSH configuration. Where git's names no command for
SSH, ssh(1) is told to give up early on a server that does not answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack import durable, process
from genesis_stack.errors import GenesisError

NETWORK_SECONDS: Final = 120.0
"""Patience with one exchange over the network."""
CONNECT_SECONDS: Final = 10
"""Patience with an SSH server that does not answer at all."""
COMMITTER: Final = ("genesis-stack", "genesis-stack@localhost")
"""Who writes the commits that a host itself publishes."""

_HARDENED: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "transfer.fsckObjects=true",
    "protocol.ext.allow=never",
    "gc.autoDetach=false",
)
_OF_THE_HOST: Final = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
"""How the host lets git in; every other variable of git's own would lead it elsewhere."""
_SSH: Final = ("GIT_SSH", "GIT_SSH_COMMAND")
_NO_REF: Final = "couldn't find remote ref"
_NO_ANSWER: Final = "Could not read from remote repository"
_COMPLAINTS: Final = ("fatal:", "error:", "ssh:", "!")


class RepositoryError(GenesisError):
    """The repository cannot be reached, or does not hold what was asked for."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as a person is told of it; `time` is the committer's, in UNIX seconds."""

    revision: str
    author: str
    subject: str
    time: int


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare clone at `path` of the branch `branch` of the repository at `url`."""

    path: Path
    url: str
    branch: str

    @property
    def ref(self) -> str:
        """The followed branch, as the remote names it."""
        return f"refs/heads/{self.branch}"

    @property
    def question(self) -> tuple[str, ...]:
        """The command that asks the remote for the branch, and says its revision and its name, or nothing."""
        settings = (*_HARDENED, *self._over_ssh())
        hardened = (word for setting in settings for word in ("-c", setting))
        return ("git", f"--git-dir={self.path}", *hardened, "ls-remote", "--", self.url, self.ref)

    def ask_remote(self) -> str:
        """The revision that the branch has at the remote now; transfers no object.

        Raises:
            RepositoryError: it cannot be reached, or has no such branch.
        """
        said = self._remote("ls-remote", "--", self.url, self.ref)
        for line in said.splitlines():
            revision, _, ref = line.partition("\t")
            if ref == self.ref:
                return revision
        raise RepositoryError(f"{self.url} has no branch {self.branch}", hint="correct gitops.branch")

    def fetch(self) -> str:
        """Get what is new on the branch and return the revision that it has now.

        A branch that was moved back or rewritten is fetched like any other: whether it may be followed is
        for the caller to decide.

        Raises:
            RepositoryError: it cannot be reached, or has no such branch.
        """
        revision = self.fetch_ref(self.ref)
        if revision is None:
            raise RepositoryError(f"{self.url} has no branch {self.branch}", hint="correct gitops.branch")
        return revision

    def fetch_ref(self, ref: str) -> str | None:
        """Get any other ref of the remote; None when it has none of this name.

        Raises:
            RepositoryError: the remote cannot be reached.
        """
        refspec = f"{ref}:{_ours(ref)}"
        try:
            self._remote("fetch", "--no-tags", "--force", "--quiet", "--", self.url, refspec)
        except RepositoryError as error:
            if _NO_REF in str(error):
                return None
            raise
        return self._revision(_ours(ref))

    @property
    def head(self) -> str | None:
        """The revision that the last fetch found; None before the first."""
        return self._revision(_ours(self.ref)) if self.path.is_dir() else None

    def _revision(self, name: str) -> str | None:
        found = self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
        return found.stdout.strip() or None

    def has(self, revision: str) -> bool:
        """Whether the clone holds this commit."""
        return self.path.is_dir() and self._revision(revision) is not None

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` stands on top of `old`, or is the same commit; False when `old` is not there."""
        return (
            self.has(old) and self._git("merge-base", "--is-ancestor", old, new, check=False).returncode == 0
        )

    def commits(self, old: str | None, new: str) -> tuple[str, ...]:
        """Every commit that `new` brings on top of `old`, merged side branches too, the oldest first."""
        without = (f"^{old}",) if old is not None else ()
        said = self._git("rev-list", "--reverse", "--topo-order", new, *without, "--").stdout
        return tuple(said.split())

    def commit(self, revision: str) -> Commit:
        """Who wrote a commit, when, and its first line; for people, so that what is not UTF-8 is replaced."""
        said = self._git("show", "--no-patch", "--format=%H%x00%an <%ae>%x00%ct%x00%s", revision, "--").stdout
        found, author, time, subject = said.rstrip("\n").split("\0", 3)
        return Commit(found, author, subject, int(time))

    def file(self, revision: str, path: str) -> str | None:
        """The text of a file as of a revision; None when that has no such file.

        Raises:
            NotTextError: it is no text in UTF-8.
        """
        found = self._git("cat-file", "blob", f"{revision}:{path}", check=False, exact=True)
        return found.stdout if found.returncode == 0 else None

    def verify_commit(self, revision: str, config: Sequence[str], env: Mapping[str, str]) -> str | None:
        """git-verify-commit(1) under `config`; what it says against the signature, None when it is good."""
        words = [word for setting in config for word in ("-c", setting)]
        done = self._git("verify-commit", revision, check=False, config=words, env=env)
        return None if done.returncode == 0 else _complaint(done.stderr) or "it is not signed"

    def commit_files(self, files: Mapping[str, str], parent: str | None, message: str) -> str:
        """Make a commit that holds just these files, by plumbing alone, and return its revision."""
        self._prepare()
        rows = []
        for name, text in sorted(files.items()):
            blob = self._git("hash-object", "-w", "--stdin", input_text=text).stdout.strip()
            rows.append(f"100644 blob {blob}\t{name}\n")
        tree = self._git("mktree", input_text="".join(rows)).stdout.strip()
        above = ("-p", parent) if parent is not None else ()
        return self._git("commit-tree", "--no-gpg-sign", *above, "-m", message, tree).stdout.strip()

    def push(self, revision: str, ref: str) -> None:
        """Move a ref of the remote to a revision, forward only.

        Raises:
            RepositoryError: the remote refuses, or cannot be reached.
        """
        self._remote("push", "--quiet", "--no-verify", "--", self.url, f"{revision}:{ref}")

    def _prepare(self) -> None:
        """Have an empty bare clone, made without any template."""
        if not (self.path / "HEAD").exists():
            durable.mkdir(self.path.parent, 0o700)
            durable.step(f"git init {self.path}")
            argv = ("git", "init", "--bare", "--quiet", "--template=", f"--initial-branch={self.branch}")
            process.run([*argv, self.path], env=_environment({}))

    def _remote(self, *argv: str) -> str:
        """Run a command that talks to the remote."""
        self._prepare()
        try:
            config = [word for setting in self._over_ssh() for word in ("-c", setting)]
            return self._git(*argv, config=config, timeout=NETWORK_SECONDS).stdout
        except process.ProcessError as error:
            said = _complaint(error.completed.stderr) or f"git {argv[0]} exited {error.completed.returncode}"
            raise RepositoryError(f"{self.url}: {said}", hint=_hint(error.completed.returncode)) from None

    def _over_ssh(self) -> tuple[str, ...]:
        """The setting that bounds the patience of SSH; none where the host says how SSH is run."""
        if any(name in os.environ for name in _SSH):
            return ()
        if self._git("config", "--get", "core.sshCommand", check=False).returncode == 0:
            return ()
        return (f"core.sshCommand=ssh -o ConnectTimeout={CONNECT_SECONDS}",)

    def _git(
        self,
        *argv: str,
        check: bool = True,
        input_text: str | None = None,
        config: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        exact: bool = False,
    ) -> process.Completed:
        hardened = [word for setting in _HARDENED for word in ("-c", setting)]
        words = ("git", f"--git-dir={self.path}", *hardened, *config, *argv)
        environment = _environment(env or {})
        return process.run(
            words, check=check, input_text=input_text, env=environment, timeout=timeout, exact=exact
        )


def _ours(ref: str) -> str:
    """Where the clone keeps what the remote calls `ref`."""
    return f"refs/remotes/origin/{ref.removeprefix('refs/').removeprefix('heads/')}"


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """The host's own, without what would lead git elsewhere; see git(1), "Environment Variables"."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _OF_THE_HOST
    }
    name, address = COMMITTER
    return {
        **kept,
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": address,
        **more,
    }


def _complaint(text: str) -> str:
    """What git complained of first, or SSH right before; what follows is advice for people at a keyboard."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith(_COMPLAINTS)), -1)
    if first > 0 and _NO_ANSWER in lines[first]:
        return lines[first - 1]
    return lines[first] if lines else ""


def _hint(status: int) -> str:
    if status == 127:  # noqa: PLR2004 -- the shell's "command not found"
        return "install git (Debian: apt install git)"
    return "try `git ls-remote` with this URL as the user that runs the agent"
