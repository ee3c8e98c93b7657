"""Models that left the branch: without `prune` they go on running as they were last declared.

A generation keeps only the text that it was applied from. So the text that last declared a kept model is
put beside the record before the generation that no longer declares it comes into force.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from genesis_stack import durable
from genesis_stack.backends import Desired
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops.record import Files
from genesis_stack.layout import Layout
from genesis_stack.modelstore.here import host_here
from genesis_stack.modelstore.host import read_host
from genesis_stack.spec.effective import on_host
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Model, Stack


class KeptModelError(GenesisError):
    """A model that left the branch cannot go on beside those that are there now."""

    exit_code = ExitCode.INVALID_CONFIG


def with_kept(stack: Stack, in_force: Desired, layout: Layout) -> Stack:
    """The stack and the models that run here though it does not name them any more.

    Raises:
        KeptModelError: one has the port of another, or nobody knows how it was declared.
    """
    gone = [name for name in in_force.services if name not in stack.models]
    kept = {name: _as_declared(name, in_force, layout) for name in gone}
    for name, model in kept.items():
        _check_port(name, model, stack)
    return stack.model_copy(update={"models": stack.models | kept})


def remember(stack: Stack, in_force: Desired, layout: Layout) -> None:
    """Keep the text that last declared each model which `stack` does not name but which runs."""
    for name in in_force.services:
        if name not in stack.models and not _file(name, layout).exists():
            durable.write(_file(name, layout), in_force.source, 0o600)


def forget(stack: Stack, in_force: Desired, layout: Layout) -> None:
    """Remove what is kept of models that do not run any more, or are declared again."""
    for path in _files(layout):
        if path.stem in stack.models or path.stem not in in_force.services:
            durable.remove(path)


def _as_declared(name: str, in_force: Desired, layout: Layout) -> Model:
    file = _file(name, layout)
    text = file.read_text() if file.exists() else in_force.source
    before = loads(text, f"the stack that last declared {name}")
    declared = on_host(before, host_here(before, read_host())).models.get(name)
    if declared is None:
        raise KeptModelError(
            f"{name} runs here, the branch does not declare it, and nothing tells how it was declared",
            hint="declare it, set gitops.prune: true, or apply a stack without it by hand",
        )
    return declared


def _check_port(name: str, model: Model, stack: Stack) -> None:
    for other, declared in stack.models.items():
        if declared.port == model.port:
            raise KeptModelError(
                f"{other} wants port {model.port} of {name}, which left the branch and still runs",
                hint="gitops.prune is false: set it to true, or give the new model another port",
            )


def _file(name: str, layout: Layout) -> Path:
    return Files.of(layout).kept / f"{name}.yaml"


def _files(layout: Layout) -> Iterator[Path]:
    yield from sorted(Files.of(layout).kept.glob("*.yaml"))
