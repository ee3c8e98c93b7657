"""A revision that may be followed, as this host would run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genesis_stack import durable
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops.canary import Canary
from genesis_stack.gitops.record import Files, Record
from genesis_stack.gitops.repository import Repository
from genesis_stack.gitops.signatures import Signers, check
from genesis_stack.layout import Layout
from genesis_stack.modelstore.here import host_here
from genesis_stack.modelstore.host import read_host
from genesis_stack.process import NotTextError
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import InvalidStackError, Problem

Read = Callable[[Path], tuple[Stack, str]]
"""Gives this host's part of a stack file, which is valid and fits, with the file's text."""


class EmptyStackError(GenesisError):
    """A revision would leave this host without any model."""

    exit_code = ExitCode.INVALID_CONFIG


class CanaryStoppedError(GenesisError):
    """The canary has tried a revision, and it does not hold."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One revision: `whole` is its stack, `part` what this host, `here` in it, runs of that."""

    revision: str
    path: Path
    source: str
    whole: Stack
    here: str | None
    part: Stack
    canary: Canary | None

    @property
    def leads(self) -> bool:
        """Whether this host goes first and tells the others."""
        return self.canary is not None and self.canary.leads

    @property
    def profile(self) -> str | None:
        """The load profile that must hold before the others may follow."""
        gitops = self.whole.gitops
        return (
            gitops.canary.profile if self.leads and gitops is not None and gitops.canary is not None else None
        )

    @property
    def prunes(self) -> bool:
        """Whether models that left the stack are removed."""
        return self.whole.gitops is not None and self.whole.gitops.prune

    def held_up(self, record: Record) -> str:
        """Why this host must wait; nothing if it may go on.

        Raises:
            CanaryStoppedError: the canary says that the revision does not hold.
            GenesisError: what the canary says cannot be read, or is not its own word.
        """
        if self.canary is None or self.leads or self.revision == record.applied:
            return ""
        verdict = self.canary.verdict_on(self.revision)
        if verdict is None:
            return f"the canary {self.canary.host} has not proved {self.revision[:12]} yet"
        if not verdict.passed:
            raise CanaryStoppedError(f"it does not hold on the canary {self.canary.host}: {verdict.reason}")
        return ""


def read_candidate(
    revision: str, record: Record, gitops: GitOps, repository: Repository, *, layout: Layout, read: Read
) -> Candidate:
    """The revision as a stack, once its history and its signatures are good.

    Raises:
        RefusedError: they are not.
        EmptyStackError: it holds nothing for this host.
        InvalidStackError: it is no valid stack.
        GenesisError: it does not fit.
    """
    signers = Signers.of(layout)
    base = None if revision == record.adopted else record.applied
    check(repository, base, revision, gitops.verify, signers)
    try:
        text = repository.file(revision, gitops.path)
    except NotTextError:
        problem = Problem(gitops.path, 0, 0, "", f"is not UTF-8 in {revision[:12]}", "save it as UTF-8")
        raise InvalidStackError([problem]) from None
    if text is None:
        raise EmptyStackError(f"{revision[:12]} has no {gitops.path}", hint="an empty set is never applied")
    path = Files.of(layout).checkout / gitops.path
    durable.write(path, text, 0o600)
    part, source = read(path)
    if not part.models:
        raise EmptyStackError(
            f"{revision[:12]} leaves no model on this host",
            hint="an empty set is never applied; `genesis-stack down` or `destroy` does it by hand",
        )
    whole = loads(source, gitops.path)
    here = host_here(whole, read_host())
    canary = Canary.of(whole, here, repository, layout)
    return Candidate(revision, path, source, whole, here, part, canary)
