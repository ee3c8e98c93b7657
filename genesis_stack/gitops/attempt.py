"""One attempt to make a host agree with one revision of its branch, and what is kept and told of it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from genesis_stack.backends import Desired
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops import fingerprint, kept
from genesis_stack.gitops.board import BoardError
from genesis_stack.gitops.canary import BadVerdictError
from genesis_stack.gitops.candidate import Candidate, Read, read_candidate
from genesis_stack.gitops.connectivity import DEADLINE, answers, keeps, ways_of
from genesis_stack.gitops.notices import Teller
from genesis_stack.gitops.record import (
    Ending,
    Kind,
    Notice,
    Record,
    Trouble,
    read_suspension,
    write_record,
)
from genesis_stack.gitops.repository import Repository, RepositoryError
from genesis_stack.gitops.signatures import RefusedError
from genesis_stack.modelstore.faults import FetchError
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.lock import LockedError, held
from genesis_stack.reconcile.transaction import Prove, RolledBackError
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.model import Stack

PASSING: Final = (FetchError, RepositoryError, BadVerdictError, BoardError, OSError)
"""What says nothing of a revision: the network is away, the disk is full. The next run tries again."""


class Outcome(StrEnum):
    """How a run ended."""

    SYNCED = "in sync"  # the revision of the branch was in force already
    APPLIED = "applied"  # it is now
    HEALED = "healed"  # it was; the host had drifted and was put back
    DRIFTED = "drifted"  # likewise, and the stack says to leave it
    WAITING = "waiting"  # for the canary's verdict
    SUSPENDED = "suspended"  # somebody has said so
    REFUSED = "refused"  # it must not be followed
    QUARANTINED = "quarantined"  # it failed here, now or before
    HINDERED = "hindered"  # it could not be tried


@dataclass(frozen=True, slots=True)
class Report:
    """What a run tells its caller; a revision is a full hexadecimal name."""

    outcome: Outcome
    revision: str | None
    reason: str = ""
    exit_code: int = ExitCode.OK


@dataclass(frozen=True, slots=True)
class InForce:
    """What is applied on a host: the name of its stack, what that says of the repository, and all of it.

    `stack` is None where this version of genesis-stack cannot read it any more.
    """

    name: str
    gitops: GitOps
    stack: Stack | None


@dataclass(frozen=True)
class Means:
    """What the agent is handed by the layers above it.

    `fetch` has the model files of a stack, which stands at a path, in the store. `load_gate` gives what
    puts the load of a profile on this host's servers.
    """

    read: Read
    fetch: Callable[[Stack, Path], None]
    load_gate: Callable[[Path, str], Prove]


@dataclass
class Attempt:
    """One revision on one host; `record` is what will be kept of it.

    `lock_timeout` is how many seconds it waits for another run to end, `reach_deadline` how many everything
    may take to be reachable again; `now` is a UNIX time.
    """

    host: Host
    means: Means
    record: Record
    in_force: InForce
    repository: Repository
    revision: str
    now: float
    lock_timeout: float = 0.0
    reach_deadline: float = DEADLINE
    candidate: Candidate | None = None

    @property
    def gitops(self) -> GitOps:
        """What the stack in force says of the repository."""
        return self.in_force.gitops

    def follow(self) -> Report:
        """Follow the revision as far as it may be, and say how far that was."""
        known = self.record.trouble_with(self.revision)
        if known is not None and known.kind == "quarantined":
            if self.record.vouched != self.revision:
                with contextlib.suppress(GenesisError, OSError):  # then it has nothing to tell of it
                    self.candidate = self._read()
            return Report(Outcome.QUARANTINED, self.revision, known.reason, known.exit_code)
        try:
            self.candidate = self._read()
            if waiting := self.candidate.held_up(self.record):
                self._keep(waiting=waiting, trouble=None)
                return Report(Outcome.WAITING, self.revision, waiting)
            outcome = self._apply(self.candidate)
        except LockedError:
            raise
        except (GenesisError, OSError) as error:
            return self._failed(error)
        return self._succeeded(outcome)

    def _read(self) -> Candidate:
        layout, read = self.host.layout, self.means.read
        return read_candidate(
            self.revision, self.record, self.gitops, self.repository, layout=layout, read=read
        )

    def _keep(self, **news: object) -> None:
        self.record = self.record.model_copy(update=news)

    def _apply(self, candidate: Candidate) -> Outcome:
        """Make the host agree with the candidate, or see that it does."""
        layout = self.host.layout
        again = self.revision == self.record.applied
        with held(layout.lock, self.lock_timeout, f"genesis-stack agent, revision {self.revision[:12]}"):
            if read_suspension(layout) is not None:
                raise LockedError("the agent was suspended while it looked at the branch")
            before = desired(self.host)
            wanted = candidate.part if candidate.prunes else kept.with_kept(candidate.part, before, layout)
            if again and not self.gitops.self_heal:
                empty = self.host.plan(wanted, candidate.source).empty
                return Outcome.SYNCED if empty else Outcome.DRIFTED
            if not candidate.prunes:
                kept.remember(candidate.part, before, layout)
            plan = self.host.apply(
                wanted,
                candidate.source,
                lambda stack: self.means.fetch(stack, candidate.path),
                prove=self._proof(candidate),
            )
            kept.forget(candidate.part, desired(self.host), layout)
        if again:
            return Outcome.SYNCED if plan.empty else Outcome.HEALED
        return Outcome.APPLIED

    def _proof(self, candidate: Candidate) -> Prove:
        """That the change cuts nothing off and, on the canary, that it bears its load."""
        ways = ways_of(self.repository, self.in_force.stack or candidate.whole, candidate.here)
        reachable = keeps(ways, self.reach_deadline)
        profile = candidate.profile
        bears = None if profile is None else self.means.load_gate(candidate.path, profile)

        def prove() -> None:
            reachable()
            if bears is not None:
                bears()

        return prove

    def _succeeded(self, outcome: Outcome) -> Report:
        generation = self.host.transaction.generations.current()
        self._keep(trouble=None, drifted=outcome is Outcome.DRIFTED)
        if outcome is not Outcome.DRIFTED:
            self._keep(applied=self.revision, generation=generation, adopted=None)
        if outcome is Outcome.APPLIED:
            self._note("applied", "", generation)
        return Report(outcome, self.revision)

    def _failed(self, error: GenesisError | OSError) -> Report:
        kind = self._kind(error)
        code = error.exit_code if isinstance(error, GenesisError) else ExitCode.FAILED
        known = self.record.trouble_with(self.revision)
        since = known.since if known is not None else self.now
        reason = str(error)
        trouble = Trouble(kind=kind, revision=self.revision, reason=reason, exit_code=code, since=since)
        self._keep(trouble=trouble)
        self._note(_ending(error), reason, None)
        return Report(Outcome(kind), self.revision, reason, code)

    def _kind(self, error: GenesisError | OSError) -> Kind:
        """What an error says of the revision."""
        if isinstance(error, RefusedError):
            return "refused"
        if isinstance(error, PASSING) or self._still_cut_off(error):
            return "hindered"
        return "quarantined"

    def _still_cut_off(self, error: Exception) -> bool:
        """Whether a change was undone and the repository is away all the same: then it is not to blame."""
        return isinstance(error, RolledBackError) and not answers(self.repository)

    def _note(self, outcome: Ending, reason: str, generation: int | None) -> None:
        """Have a result told, unless it was."""
        candidate = self.candidate
        here = candidate.here if candidate is not None else None
        notice = Notice(
            revision=self.revision,
            outcome=outcome,
            reason=reason,
            subject=self.repository.commit(self.revision).subject,
            stack=self.in_force.name,
            host=here or socket.gethostname(),
            generation=generation,
            time=self.now,
        )
        self.record = self._teller().add(self.record, notice)

    def _teller(self) -> Teller:
        read = self.candidate.whole if self.candidate is not None else None
        return Teller.of(self.in_force.stack or read, self.gitops, self.host.layout)

    def close(self, report: Report) -> None:
        """Tell everybody, keep the record, and leave behind what tells the next look that all is at rest."""
        layout, say = self.host.layout, self.host.say
        write_record(layout, self.record)
        if self.candidate is not None and self.candidate.leads:
            self._vouch(self.candidate, report)
        self.record = self._teller().tell(self.record, say)
        write_record(layout, self.record)
        resting = report.outcome not in {Outcome.WAITING, Outcome.HINDERED} and not self.record.pending
        owes = self.candidate is not None and self.candidate.leads and self.record.vouched != self.revision
        if resting and not (owes and report.outcome is not Outcome.REFUSED):
            fingerprint.write(self.host, self.repository, self.revision, self.now)

    def _vouch(self, candidate: Candidate, report: Report) -> None:
        """As the canary, tell the others how this revision holds here; if that fails, the next run tries."""
        canary = candidate.canary
        good = report.outcome in {Outcome.APPLIED, Outcome.SYNCED, Outcome.HEALED}
        if canary is None or self.record.vouched == self.revision:
            return
        if not good and report.outcome is not Outcome.QUARANTINED:
            return
        try:
            if good and not self._healthy():
                return
            canary.publish(self.revision, passed=good, reason=report.reason)
            self._keep(vouched=self.revision)
        except GenesisError as error:
            self.host.say(f"the others were not told of {self.revision[:12]}: {error}; next time")

    def _healthy(self) -> bool:
        services = desired(self.host).services.values()
        return all(self.host.backend.health(service).serves(service) for service in services)


def _ending(error: GenesisError | OSError) -> Ending:
    """What is told of a revision that met this error."""
    if isinstance(error, RefusedError | BadVerdictError):
        return "refused"
    return "rolled back" if isinstance(error, RolledBackError) else "failed"


def desired(host: Host) -> Desired:
    """The generation in force; nothing on a fresh host."""
    generations = host.transaction.generations
    return generations.load(generations.current())
