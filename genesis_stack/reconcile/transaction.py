"""The switch from one generation to another: it arrives or returns, also across a crash.

The journal says where it was. A run that finds one first goes on from there: forward to the target and, when
that fails, back to the source. Both ways are the same: observe, plan, execute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from genesis_stack.backends import Backend, Desired, LintError, procfs
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.process import ProcessError
from genesis_stack.reconcile.execute import Execution, Say
from genesis_stack.reconcile.generations import Generations, Result
from genesis_stack.reconcile.health import GateError, gate
from genesis_stack.reconcile.plan import Situation, make_plan
from genesis_stack.reconcile.state import (
    Journal,
    State,
    read_journal,
    read_state,
    write_journal,
    write_state,
)
from genesis_stack.reconcile.steps import Plan

JOURNAL_LINES: Final = 20
"""Lines of a failed server's log that the message shows."""

Prove = Callable[[], None]
"""Tries out what serves now; raises a GenesisError when it is not good enough to keep."""


class RolledBackError(GenesisError):
    """A gate failed, and the previous generation serves again."""

    exit_code = ExitCode.ROLLED_BACK


class RollbackFailedError(GenesisError):
    """A gate failed, and so did the way back."""

    exit_code = ExitCode.ROLLBACK_FAILED


class Transaction:
    """Switches of one host, under the lock."""

    def __init__(self, layout: Layout, backend: Backend, say: Say) -> None:
        self.layout = layout
        self.backend = backend
        self.say = say
        self.generations = Generations(layout)

    def recover(self) -> tuple[str, ...]:
        """Finish, or revert, what an interrupted run has begun; what fails here only ends the interruption.

        Returns the models whose servers may still run with files other than those on disk.
        """
        journal = read_journal(self.layout)
        if journal is None:
            return ()
        self.say(f"an earlier run was interrupted on its way to generation {journal.target}: finishing it")
        try:
            if journal.phase == "back":
                self._back(journal)
            desired = self.generations.load(journal.target)
            self._forward(journal, desired, self._plan(desired, journal))
        except RolledBackError as error:
            self.say(f"{error}\n{error.hint}")
        except RollbackFailedError as error:
            self.say(str(error))
            return journal.restart
        return ()

    def switch(self, target: int, plan: Plan, prove: Prove | None = None) -> None:
        """Go to a stored generation by a plan that was made for it, and keep it if it proves itself.

        Raises:
            LintError: a rendered file does not pass its own tool; nothing was touched.
            RolledBackError, RollbackFailedError: a step or a gate failed.
        """
        desired = self.generations.load(target)
        self._lint(target, desired)
        source = self.generations.current()
        journal = Journal(phase="forward", source=source, target=target, restart=plan.restarted())
        write_journal(self.layout, journal)
        self._forward(journal, desired, plan, prove)

    def _lint(self, target: int, desired: Desired) -> None:
        try:
            self.backend.lint(self.generations.path(target) / "files", desired)
        except (LintError, ProcessError) as error:
            if target != self.generations.current():
                self._record(target, Result(outcome="refused", reason=str(error), finished=time.time()))
            raise LintError(str(error), hint="nothing was touched; what served before still serves") from None

    def _forward(self, journal: Journal, desired: Desired, plan: Plan, prove: Prove | None = None) -> None:
        execution = Execution(self.backend, desired, self.layout.set_aside, self.say)
        try:
            self._execute(execution, plan)
            if prove is not None:
                self._await_proof(journal, execution)
                prove()
        except (GenesisError, ProcessError, OSError) as error:
            self.say(f"failed: {error}")
            self._turn_back(journal, execution, self._explain(error))
            return
        result = Result(outcome="applied", finished=time.time(), load_seconds=execution.load_seconds)
        self._record(journal.target, result)
        self._close(journal.target, desired)

    def _await_proof(self, journal: Journal, execution: Execution) -> None:
        """From here on a crash leads back: nobody would know whether the generation is good."""
        reason = f"generation {journal.target} had not proved itself when the run was interrupted"
        update = {"phase": "back", "reason": reason, "restart": tuple(execution.touched)}
        write_journal(self.layout, journal.model_copy(update=update))

    def _turn_back(self, journal: Journal, execution: Execution, reason: str) -> None:
        restart = tuple(execution.touched)
        back = journal.model_copy(update={"phase": "back", "reason": reason, "restart": restart})
        # A crash from here on restarts the servers that stand beside another one, too: that ends the second.
        write_journal(self.layout, back.model_copy(update={"restart": (*restart, *execution.beside)}))
        self._back(back, tuple(execution.beside))

    def _explain(self, error: Exception) -> str:
        if not isinstance(error, GateError):
            return str(error)
        lines = self.backend.log_tail(error.model, JOURNAL_LINES)[-JOURNAL_LINES:]
        return "\n".join([str(error), *(f"  {line}" for line in lines)])

    def _execute(self, execution: Execution, plan: Plan) -> None:
        state = read_state(self.layout)
        inventory = tuple(dict.fromkeys((*state.inventory, *execution.desired.files)))
        if inventory != state.inventory:
            write_state(self.layout, State(inventory=inventory))
        execution.run(plan)

    def _close(self, number: int | None, desired: Desired) -> None:
        if self.generations.current() != number:
            self.generations.set_current(number)
        write_state(self.layout, State(inventory=tuple(desired.files)))
        write_journal(self.layout, None)

    def _back(self, journal: Journal, beside: tuple[str, ...] = ()) -> None:
        """Return to the source of a failed switch, and verify it like any other.

        Raises:
            RolledBackError: it serves again.
            RollbackFailedError: it does not.
        """
        desired = self.generations.load(journal.source)
        where = "the host as it was before" if journal.source is None else f"generation {journal.source}"
        self.say(f"going back to {where}")
        execution = Execution(self.backend, desired, self.layout.set_aside, self.say)
        try:
            self._execute(execution, self._plan(desired, journal, beside))
            self._keep_old(desired, beside)
        except (GenesisError, ProcessError, OSError) as error:
            reason = f"{journal.reason}\nand the way back to {where} failed too: {self._explain(error)}"
            self._record(
                journal.target, Result(outcome="rollback failed", reason=reason, finished=time.time())
            )
            hint = "see `genesis-stack status` and `genesis-stack logs`; the next apply tries again"
            raise RollbackFailedError(reason, hint=hint) from None
        result = Result(outcome="rolled back", reason=journal.reason, finished=time.time())
        self._record(journal.target, result)
        self._close(journal.source, desired)
        raise RolledBackError(journal.reason, hint=f"rolled back: {where} is in force again") from None

    def _keep_old(self, desired: Desired, beside: tuple[str, ...]) -> None:
        services = [desired.services[model] for model in beside]
        for service in services:
            self.backend.finish_beside(service, keep_new=False)
        gate(services, self.backend, lambda *_: None)

    def _record(self, number: int | None, result: Result) -> None:
        if number is not None:
            self.generations.finish(number, result)

    def _plan(self, desired: Desired, journal: Journal, settled: tuple[str, ...] = ()) -> Plan:
        """The way to one end of an interrupted switch, from wherever it stopped."""
        other = journal.target if journal.phase == "back" else journal.source
        situation = self.situation(desired, other)
        return make_plan(replace(situation, unfinished=journal.restart, settled=settled))

    def situation(self, desired: Desired, base: int | None) -> Situation:
        """What a plan from generation `base` to `desired` starts from."""
        previous = self.generations.load(base)
        known = tuple(dict.fromkeys((*read_state(self.layout).inventory, *previous.files)))
        seen = self.backend.observe(desired, known)
        changed = [file for file in desired.files.values() if seen.files.get(file.path) != file.content]
        remark = self.backend.remark
        return Situation(
            desired=desired,
            previous=previous,
            base=base,
            seen=seen,
            inventory=known,
            room=procfs.available_memory(),
            remarks={one.path: remark(one.path, seen.files.get(one.path), one.content) for one in changed},
            load_seconds=self.generations.load_seconds(),
            notes=self.backend.unenforced,
        )
