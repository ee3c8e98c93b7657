"""What holds for a model once defaults, sandbox and a host's overrides are laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from genesis_stack.spec.fields import Frozen
from genesis_stack.spec.http import Gateway
from genesis_stack.spec.model import Model, Stack

Part = TypeVar("Part", bound=Frozen)


class PlacedGateway(Gateway):
    """The gateway of one host, with the models of every host that it stands in front of."""

    here: str | None
    models: Mapping[str | None, Mapping[str, Model]]


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
    reserve = stack.hosts[host].reserve
    defaults = stack.defaults if reserve is None else stack.defaults.model_copy(update={"reserve": reserve})
    update = {"models": models_on(stack, host), "defaults": defaults, "gateway": gateway_on(stack, host)}
    return stack.model_copy(update=update)


def gateway_on(stack: Stack, host: str | None) -> PlacedGateway | None:
    """The gateway that a host runs, if it runs one."""
    declared = stack.gateway
    if declared is None or isinstance(declared, PlacedGateway):
        return declared
    if host is not None and declared.hosts is not None and host not in declared.hosts:
        return None
    models = {name: stack.models if name is None else models_on(stack, name) for name in hosts_of(stack)}
    return PlacedGateway.model_construct(**dict(declared), here=host, models=models)


def name_of(stack: Stack, host: str) -> str:
    """The name or address by which other machines reach a host."""
    entry = stack.hosts[host]
    by_ssh = urlsplit(entry.address).hostname if entry.address else None
    return by_ssh or entry.hostname or host


def models_on(stack: Stack, host: str) -> dict[str, Model]:
    """The models of a host, as they run there."""
    entry = stack.hosts[host]
    wanted = stack.models if entry.models is None else entry.models
    return {
        name: laid_over(_listening(model, entry.listen), entry.overrides.get(name))
        for name, model in stack.models.items()
        if name in wanted
    }


def _listening(model: Model, listen: str | None) -> Model:
    return model if listen is None else model.model_copy(update={"listen": listen})


def laid_over(below: Part, above: Frozen | None) -> Part:
    """`below` with every setting that was given in `above`, section by section and directive by directive."""
    if above is None:
        return below
    update = {name: _one(getattr(below, name), getattr(above, name)) for name in above.model_fields_set}
    return below.model_copy(update=update)


def _one(below: Any, above: Any) -> Any:
    if isinstance(below, Frozen) and isinstance(above, Frozen):
        return laid_over(below, above)
    if isinstance(above, dict):
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
