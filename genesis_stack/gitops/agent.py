"""One run of a host's agent: fetch the branch, see that it may be followed, and make the host agree with it.

What it must know the next time stands in its record. A crash at any point is met by the next run: the
reconciler finishes or reverts the switch, and the record, which is written only afterwards, makes the agent
take up the same revision again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from genesis_stack.errors import GenesisError
from genesis_stack.gitops import fingerprint
from genesis_stack.gitops.attempt import Attempt, InForce, Means, Outcome, Report, desired
from genesis_stack.gitops.connectivity import DEADLINE
from genesis_stack.gitops.record import Files, Record, read_record, read_suspension, write_record
from genesis_stack.gitops.repository import Repository, RepositoryError
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.declared import declared
from genesis_stack.reconcile.lock import held
from genesis_stack.spec.following import gitops_of
from genesis_stack.spec.problems import InvalidStackError


class NotFollowingError(GenesisError):
    """There is nothing to follow on this host yet."""


@dataclass
class Agent:
    """The agent of one host.

    `lock_timeout` is how many seconds it waits for another run to end, `reach_deadline` how many everything
    may take to be reachable again after a change.
    """

    host: Host
    means: Means
    lock_timeout: float = 0.0
    reach_deadline: float = DEADLINE
    clock: Callable[[], float] = field(default=time.time)

    def run_once(self) -> Report:
        """Look, and act if something is to be done.

        Raises:
            RepositoryError: the repository cannot be reached; that is recorded.
            InvalidStackError: nobody can tell from the stack in force what it follows; that is recorded.
            LockedError: another run of the agent, or of the operator, is at work.
            NotFollowingError: no stack with `gitops` was applied here yet.
        """
        layout = self.host.layout
        with held(layout.run / "agent.lock", self.lock_timeout, "genesis-stack agent run-once"):
            record, suspension = read_record(layout), read_suspension(layout)
            if suspension is not None:
                fingerprint.write(self.host, None, None, self.clock())
                return Report(Outcome.SUSPENDED, record.applied, suspension.reason)
            fingerprint.forget(self.host)
            return self._look(record)

    def in_force(self) -> InForce:
        """What was applied last, and what it says of the repository.

        Raises:
            NotFollowingError: there is nothing, or it follows nothing.
            InvalidStackError: this version cannot read what it follows.
        """
        last = desired(self.host)
        stack = declared(last)
        read = gitops_of(last.source, "the stack in force") if stack is None and last.source else None
        gitops = stack.gitops if stack is not None else read
        if gitops is None:
            raise NotFollowingError(
                "no stack with a gitops section is in force on this host",
                hint="clone the repository and `genesis-stack apply` its stack once, to begin",
            )
        return InForce(last.name, gitops, stack)

    def _look(self, record: Record) -> Report:
        layout = self.host.layout
        try:
            in_force = self.in_force()
            gitops = in_force.gitops
            repository = Repository(Files.of(layout).clone, gitops.repository, gitops.branch)
            revision = repository.fetch()
        except (InvalidStackError, RepositoryError) as error:
            write_record(layout, record.model_copy(update={"fetch_error": str(error)}))
            raise
        news = {"seen": revision, "fetched": self.clock(), "fetch_error": "", "waiting": "", "drifted": False}
        record = record.model_copy(update=news)
        write_record(layout, record)
        attempt = Attempt(
            host=self.host,
            means=self.means,
            record=record,
            in_force=in_force,
            repository=repository,
            revision=revision,
            now=self.clock(),
            lock_timeout=self.lock_timeout,
            reach_deadline=self.reach_deadline,
        )
        report = attempt.follow()
        attempt.close(report)
        return report
