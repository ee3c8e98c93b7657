"""Plan and apply as the verbs need them: all between a stack and a host that agrees with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from genesis_stack.backends import Backend, Desired
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.desired import desire
from genesis_stack.reconcile.execute import Say
from genesis_stack.reconcile.generations import Generations
from genesis_stack.reconcile.plan import make_plan
from genesis_stack.reconcile.steps import Action, Plan
from genesis_stack.reconcile.transaction import Transaction
from genesis_stack.render import ResolvedModel, as_declared
from genesis_stack.spec.model import Stack

Fetch = Callable[[Stack], Mapping[str, ResolvedModel]]
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

    def plan(self, stack: Stack, source: str) -> Plan:
        """What an apply would do now; changes nothing."""
        resolved = as_declared(stack, self.layout)
        return self._plan(desire(stack, source, resolved, self.backend, self.layout))

    def plan_generation(self, number: int) -> Plan:
        """What a rollback to a stored generation would do now; changes nothing."""
        return self._plan(Generations(self.layout).load(number))

    def _plan(self, desired: Desired) -> Plan:
        transaction = self.transaction
        situation = transaction.situation(desired, transaction.generations.current())
        return make_plan(replace(situation, missing=missing(desired, Store(self.layout.models))))

    def apply(self, stack: Stack, source: str, fetch: Fetch, *, expected: str | None = None) -> Plan:
        """Make the host agree with the stack; returns the plan that was carried out.

        `expected` is the fingerprint of a saved plan.

        Raises:
            StalePlanError: the plan would not be the saved one.
            BlockedError: a port is taken.
            RolledBackError, RollbackFailedError: a gate failed.
        """
        transaction = self.transaction
        transaction.recover()
        plan = self.plan(stack, source)
        if expected is not None and plan.fingerprint != expected:
            raise StalePlanError(
                "the host or the stack changed since this plan was made", hint="make a new plan and read it"
            )
        _check_blockers(plan)
        if plan.empty:
            return plan
        resolved = as_declared(stack, self.layout)
        if any(step.action is Action.FETCH for step in plan.steps):
            resolved = fetch(stack)
        desired = desire(stack, source, resolved, self.backend, self.layout)
        transaction.switch(self._generation(desired), plan)
        return plan

    def _generation(self, desired: Desired) -> int:
        """The current generation when it is this very stack, otherwise a new one."""
        generations = Generations(self.layout)
        current = generations.current()
        if current is not None and generations.load(current) == desired:
            return current
        return generations.add(desired)

    def rollback(self, number: int) -> Plan:
        """Go back to a stored generation; returns the plan that was carried out."""
        transaction = self.transaction
        transaction.recover()
        plan = self.plan_generation(number)
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


def missing(desired: Desired, store: Store) -> dict[str, str]:
    """Models with files that the store lacks, or that changed since they were verified."""
    found: dict[str, str] = {}
    for model, paths in model_files(desired).items():
        for path in paths:
            if not store.verified(path.name):
                state = "changed since it was verified" if path.exists() else "is not in the store"
                found.setdefault(model, f"{path.name[:12]}… {state}")
    return found


def model_files(desired: Desired) -> dict[str, tuple[Path, ...]]:
    """The files in the store that each model's rendered config names."""
    from genesis_stack.protocol.serve_config import ServeConfig

    found = {}
    for model, service in desired.services.items():
        for path in service.restart_on:
            if path.suffix == ".json":
                config = ServeConfig.model_validate_json(desired.files[path].content)
                refs = [config.weights] + ([config.projector] if config.projector else [])
                found[model] = tuple(Path(ref.path) for ref in refs)
    return found


def _check_blockers(plan: Plan) -> None:
    if plan.blockers:
        raise BlockedError("\n".join(plan.blockers))
