"""What holds for a model once defaults, sandbox and a host's overrides are laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from genesis_stack.spec.fields import Frozen
from genesis_stack.spec.model import Model, Stack

Part = TypeVar("Part", bound=Frozen)


def resolve(stack: Stack) -> Stack:
    """The stack with `listen`, `rollout` and `security` of every model filled in, so that none is None."""
    return stack.model_copy(
        update={"models": {name: _resolved(stack, model) for name, model in stack.models.items()}}
    )


def hosts_of(stack: Stack) -> Sequence[str | None]:
    """The names of the hosts; one None, this machine, if the stack names none."""
    return list(stack.hosts) or [None]


def on_host(stack: Stack, host: str | None) -> Stack:
    """The part of the stack that one host runs, with its overrides in force; None is this machine: all."""
    if host is None:
        return stack
    entry = stack.hosts[host]
    wanted = stack.models if entry.models is None else entry.models
    models = {
        name: laid_over(model, entry.overrides.get(name))
        for name, model in stack.models.items()
        if name in wanted
    }
    reserve = stack.defaults.reserve if entry.reserve is None else entry.reserve
    return stack.model_copy(
        update={"models": models, "defaults": stack.defaults.model_copy(update={"reserve": reserve})}
    )


def laid_over(below: Part, above: Frozen | None) -> Part:
    """`below` with every setting that was given in `above`, section by section and directive by directive."""
    if above is None:
        return below
    update = {name: _one(getattr(below, name), getattr(above, name)) for name in above.model_fields_set}
    return below.model_copy(update=update)


def _one(below: Any, above: Any) -> Any:
    if isinstance(below, Frozen) and isinstance(above, Frozen):
        return laid_over(below, above)
    if isinstance(below, dict) and isinstance(above, dict):
        return below | above
    return above


def _resolved(stack: Stack, model: Model) -> Model:
    return model.model_copy(
        update={
            "listen": model.listen or stack.defaults.listen,
            "rollout": laid_over(stack.defaults.rollout, model.rollout),
            "security": laid_over(stack.security, model.security),
        }
    )
