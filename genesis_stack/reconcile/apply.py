"""Plan and apply as the verbs need them: all between a stack and a host that agrees with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from genesis_stack import durable
from genesis_stack.backends import Backend, Desired, Monitor, Phase, Service
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.desired import desire
from genesis_stack.reconcile.execute import Say
from genesis_stack.reconcile.generations import GenerationError, Generations
from genesis_stack.reconcile.plan import make_plan
from genesis_stack.reconcile.remains import clear, kept, remove_empty
from genesis_stack.reconcile.state import read_state
from genesis_stack.reconcile.steps import Action, Plan, summary
from genesis_stack.reconcile.transaction import Prove, Transaction
from genesis_stack.render.access import keys_path
from genesis_stack.spec.model import Stack

ANEW: Final = "make a new plan and read it"
Fetch = Callable[[Stack], None]
"""Gets every model file of a stack, verified, into the store."""


class StalePlanError(GenesisError):
    """The host or the stack changed since the plan was saved."""

    exit_code = ExitCode.STALE_PLAN


class BlockedError(GenesisError):
    """Something that is not ours stands in the way."""


@dataclass(frozen=True)
class Host:
    """One host to plan for and to apply to."""

    layout: Layout
    backend: Backend
    say: Say

    @property
    def transaction(self) -> Transaction:
        """The switches of this host."""
        return Transaction(self.layout, self.backend, self.say)

    def plan(
        self, stack: Stack, source: str, unfinished: tuple[str, ...] = (), fetched: tuple[str, ...] = ()
    ) -> Plan:
        """What an apply would do now; changes nothing.

        `unfinished` is what `recover` has returned, `fetched` the models whose files an earlier plan lacked.
        """
        return self._plan(self._desire(stack, source), unfinished, fetched)

    def plan_generation(self, number: int, unfinished: tuple[str, ...] = ()) -> Plan:
        """What a rollback to a stored generation would do now; changes nothing."""
        return self._plan(Generations(self.layout).load(number), unfinished)

    def _desire(self, stack: Stack, source: str) -> Desired:
        return desire(stack, source, self.backend, self.layout)

    def _plan(self, desired: Desired, unfinished: tuple[str, ...], fetched: tuple[str, ...] = ()) -> Plan:
        transaction = self.transaction
        situation = transaction.situation(desired, transaction.generations.current())
        lacking = missing(desired, Store(self.layout.models))
        secrets = missing_secrets(desired, self.layout)
        changes = replace(situation, missing=lacking, fetched=fetched, unfinished=unfinished, secrets=secrets)
        return make_plan(changes)

    def apply(
        self,
        stack: Stack,
        source: str,
        fetch: Fetch,
        *,
        expected: str | None = None,
        prove: Prove | None = None,
    ) -> Plan:
        """Make the host agree with the stack; returns the plan that was carried out.

        `expected` is the fingerprint of a saved plan. `prove` tries out what the plan has led to, before it
        is kept.

        Raises:
            StalePlanError: the plan would not be the saved one, or no longer is once the files are there.
            BlockedError: a port is taken, or a secret is missing; also if only since the files were fetched.
            RolledBackError, RollbackFailedError: a gate failed.
        """
        transaction = self.transaction
        unfinished = transaction.recover()
        plan = self.plan(stack, source, unfinished)
        if expected is not None and plan.fingerprint != expected:
            raise StalePlanError("the host or the stack changed since this plan was made", hint=ANEW)
        _check_blockers(plan)
        if not plan.empty:
            self.say(summary(plan))
        fetched = tuple(step.target for step in plan.steps if step.action is Action.FETCH)
        if fetched:
            fetch(stack)
            before, plan = plan, self.plan(stack, source, unfinished, fetched)
            _check_blockers(plan)
            if expected is not None and plan.course != before.course:
                raise StalePlanError("the host changed while model files were fetched", hint=ANEW)
        if not plan.empty:
            transaction.switch(self._generation(self._desire(stack, source)), plan, prove)
        return plan

    def _generation(self, desired: Desired) -> int:
        """The generation in force, or the last that was, if it is this very stack; otherwise a new one."""
        generations = Generations(self.layout)
        known = generations.current() or generations.last_applied()
        if known is not None and generations.load(known) == desired:
            return known
        return generations.add(desired)

    def rollback(self, number: int) -> Plan:
        """Go back to a stored generation; returns the plan that was carried out."""
        transaction = self.transaction
        plan = self.plan_generation(number, transaction.recover())
        _check_blockers(plan)
        absent = [step for step in plan.steps if step.action is Action.FETCH]
        if absent:
            raise BlockedError(
                f"generation {number} lacks its model files: {absent[0].target}: {absent[0].reason}",
                hint="apply its stack.yaml instead: that fetches them",
            )
        if not plan.empty or transaction.generations.current() != number:
            transaction.switch(number, plan)
        return plan

    def down(self) -> list[str]:
        """Stop every server and our process manager; returns the models that ran."""
        transaction = self.transaction
        current = transaction.generations.load(transaction.generations.current())
        seen = self.backend.processes(current.services)
        running = [model for model, one in seen.items() if one.phase in {Phase.RUNNING, Phase.STARTING}]
        for model in running:
            self.backend.stop(model)
        self.backend.shutdown()
        return running

    def destroy(self, *, keep_models: bool) -> tuple[str, ...]:
        """Remove everything that is ours; returns what stays, and where.

        Issued keys go with it. Secrets stay, for the operator may have put them there, and so do audit
        records and what is somebody else's. Interrupted, it can be run again: the inventory goes last.
        """
        inventory = read_state(self.layout).inventory
        known = Generations(self.layout)
        services: dict[str, Service] = {}
        monitors: dict[str, Monitor] = {}
        for number in known.numbers():
            with contextlib.suppress(GenerationError):  # a damaged one must not keep the rest here
                services |= known.info(number).services
                monitors |= known.info(number).monitors
        for name in monitors:
            self.backend.forget_monitor(name)
        for model in services:
            self.backend.release(model)
        self.backend.shutdown()
        for path in inventory:
            durable.remove(self.backend.live(path))
        self.backend.reload(Desired.nothing())
        durable.remove(self.backend.live(keys_path(self.layout)))
        live = [self.backend.live(path) for path in (*inventory, keys_path(self.layout))]
        above = {folder for path in live for folder in path.parents}
        remove_empty(folder for folder in above if folder.is_relative_to(self.layout.config))
        clear(self.layout, self.backend)
        if not keep_models:
            durable.remove_tree(self.layout.models)
        for ours in (self.layout.journal, self.layout.current, self.layout.state_file):
            durable.remove(ours)
        durable.remove_tree(self.layout.run)  # with the lock that this run holds
        remove_empty([self.layout.set_aside, self.layout.state])
        return kept(self.layout, self.backend)


def missing(desired: Desired, store: Store) -> dict[str, str]:
    """Models with files that the store lacks, or that changed since they were verified."""
    found: dict[str, str] = {}
    for model, paths in model_files(desired).items():
        for path in paths:
            if not store.verified(path.name):
                state = "changed since it was verified" if path.exists() else "is not in the store"
                found.setdefault(model, f"{path.name[:12]}… {state}")
    return found


def missing_secrets(desired: Desired, layout: Layout) -> dict[str, str]:
    """Secrets that a server needs and the host does not have, with the place where each must stand."""
    names = dict.fromkeys(name for service in desired.services.values() for name in service.secrets)
    places = {name: layout.secrets / name for name in names}
    return {name: str(place) for name, place in places.items() if not place.is_file()}


def model_files(desired: Desired) -> dict[str, tuple[Path, ...]]:
    """The files in the store that each model's rendered config names."""
    from genesis_stack.protocol.serve_config import NamedFiles

    found = {}
    for model, service in desired.services.items():
        for path in service.restart_on:
            if path.suffix == ".json":
                named = NamedFiles.model_validate_json(desired.files[path].content)
                found[model] = tuple(map(Path, named.paths))
    return found


def _check_blockers(plan: Plan) -> None:
    if plan.blockers:
        raise BlockedError("\n".join(plan.blockers))
