"""`genesis-stack init`: a stack.yaml that fits this machine."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.host import AS_JSON, host_options, say
from genesis_stack.errors import ExitCode, GenesisError

if TYPE_CHECKING:
    from genesis_stack.layout import Layout
    from genesis_stack.modelstore.memory import Shape
    from genesis_stack.proposal.catalogue import Offer
    from genesis_stack.proposal.machine import Machine
    from genesis_stack.proposal.proposal import Proposal

TASKS = ("text", "vision", "embedding", "rerank")
USERS = 4
STDOUT = Path("-")
ROOMY = 4 * 1024**3
"""Bytes of memory from which on Prometheus is proposed where it is installed."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("stack.yaml"))
@click.option("--task", "tasks", type=click.Choice(TASKS), multiple=True, help="What to serve; repeatable.")
@click.option("--model", "models", metavar="NAME|FILE", multiple=True, help="This model, or a GGUF file.")
@click.option("--users", type=click.IntRange(1, 100_000), help="How many ask at the same time.  [default: 4]")
@click.option("--memory", metavar="SIZE", help="Memory to plan with, such as 8GiB; else this machine's.")
@click.option(
    "--cpus", type=click.FloatRange(0.1, 1024), help="Processors to plan with; else this machine's."
)
@click.option("--name", default="genesis", show_default=True, help="Name of the stack.")
@click.option(
    "--monitoring/--no-monitoring", default=None, help="Run Prometheus; by default if it is installed."
)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--force", is_flag=True, help="Replace PATH if it exists.")
@AS_JSON
@host_options
def init(
    *,
    path: Path,
    tasks: tuple[str, ...],
    models: tuple[str, ...],
    users: int | None,
    memory: str | None,
    cpus: float | None,
    name: str,
    monitoring: bool | None,
    yes: bool,
    force: bool,
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> None:
    """Write a stack that fits this machine to PATH; `-` prints it.

    Looks at memory, processors, their instructions, disk and ports, with the limits of the control group it
    runs in, and takes the best models that fit. On a terminal it asks what no option says.
    """
    from genesis_stack.proposal.machine import read_machine
    from genesis_stack.proposal.proposal import Wish, known_shapes, propose
    from genesis_stack.settings import load_settings

    if path.exists() and not force and path != STDOUT:
        raise GenesisError(f"{path}: is there already", hint="--force replaces it", exit_code=ExitCode.USAGE)
    if as_json and path == STDOUT:
        raise GenesisError(
            "--json tells what was written, and `-` writes no file",
            hint="give a PATH, or leave --json out",
            exit_code=ExitCode.USAGE,
        )
    layout = load_settings(root=root, backend=backend).layout
    machine = _planned(read_machine(layout, _ours(layout)), memory, cpus)
    shapes = known_shapes(layout)
    asking = sys.stdin.isatty() and not yes
    offers = _offers(tasks, models, shapes, asking=asking)
    users = users or (_ask_users() if asking else USERS)
    roomy = machine.prometheus and machine.host.memory >= ROOMY
    watched = roomy if monitoring is None else monitoring
    proposal = propose(Wish(name, offers, users, watched), machine, shapes)
    _write(proposal, shapes, path)
    if path == STDOUT:
        return
    if as_json:
        click.echo(json.dumps(_data(proposal, path), indent=2))
    else:
        _tell(proposal, path)


def _ours(layout: Layout) -> tuple[int, ...]:
    """Ports that the applied stack has; a new one may take them over."""
    from genesis_stack.reconcile.generations import Generations

    generations = Generations(layout)
    return tuple(service.port for service in generations.load(generations.current()).services.values())


def _planned(machine: Machine, memory: str | None, cpus: float | None) -> Machine:
    """The machine with what was given instead of what it has."""
    from pydantic_core import PydanticCustomError

    from genesis_stack.spec.units import parse_size

    host = machine.host
    try:
        if memory is not None:
            host = replace(host, memory=parse_size(memory), memory_source="as given")
    except PydanticCustomError as error:
        raise click.BadParameter(error.message(), param_hint="--memory") from None
    if cpus is not None:
        host = replace(host, cpus=cpus, cpus_source="as given")
    return replace(machine, host=host)


def _offers(
    tasks: tuple[str, ...], models: tuple[str, ...], shapes: dict[str, Shape], *, asking: bool
) -> tuple[tuple[Offer, ...], ...]:
    """What there is to choose from for each model of the stack; a file's shape is added to `shapes`."""
    from genesis_stack.proposal.proposal import choices

    if models:
        return tuple((_named(model, tasks, shapes),) for model in dict.fromkeys(models))
    if not tasks:
        tasks = _ask_tasks() if asking else ("text",)
    return choices(tuple(dict.fromkeys(tasks)))


def _named(model: str, tasks: tuple[str, ...], shapes: dict[str, Shape]) -> Offer:
    from genesis_stack.proposal.catalogue import CATALOGUE, Task, offer_of_file

    for offer in CATALOGUE:
        if offer.name == model:
            return offer
    if not model.endswith(".gguf"):
        names = ", ".join(offer.name for offer in CATALOGUE)
        hint = f"choose from: {names}; or give the path of a .gguf file"
        raise GenesisError(
            f"no model {model!r} comes with genesis-stack", hint=hint, exit_code=ExitCode.USAGE
        )
    if "vision" in tasks:
        raise GenesisError(
            f"{model} alone cannot see: a vision model needs a projector too",
            hint="without --model, --task vision takes one that comes with both; then name your two files "
            "under weights and projector",
            exit_code=ExitCode.USAGE,
        )
    task: Task = next((task for task in ("embedding", "rerank") if task in tasks), "text")
    offer, shape = offer_of_file(Path(model), task)
    shapes[offer.weights.sha256] = shape
    return offer


def _ask_tasks() -> tuple[str, ...]:
    chosen = click.prompt(
        "What shall it do, where vision is images and text?",
        type=click.Choice(["text", "vision", "both"]),
        default="text",
        err=True,
    )
    return ("text", "vision") if chosen == "both" else (str(chosen),)


def _ask_users() -> int:
    question = "How many people or programs ask it at the same time?"
    return int(click.prompt(question, type=click.IntRange(1, 100_000), default=USERS, err=True))


def _write(proposal: Proposal, shapes: dict[str, Shape], path: Path) -> None:
    """Write the stack, once it has passed what `validate` asks of it."""
    from genesis_stack import durable
    from genesis_stack.proposal.writing import as_checked_text

    text = as_checked_text(proposal, shapes, str(path))
    if path == STDOUT:
        click.echo(text, nl=False)
    else:
        durable.write(path, text)


def _data(proposal: Proposal, path: Path) -> dict[str, object]:
    """Sizes in bytes."""
    host = proposal.machine.host
    return {
        "schema_version": 1,
        "path": str(path),
        "machine": {
            "memory": host.memory,
            "cpus": host.cpus,
            "disk": proposal.machine.disk,
            "instructions": list(proposal.machine.instructions),
        },
        "models": [
            {
                "name": served.fitted.offer.name,
                "port": served.port,
                "context": served.fitted.engine.context,
                "parallel": served.fitted.engine.parallel,
                "needed": served.fitted.needed,
                "memory": served.fitted.memory,
                "cpus": served.cpus,
            }
            for served in proposal.models
        ],
        "passed_over": list(proposal.passed_over),
    }


def _tell(proposal: Proposal, path: Path) -> None:
    from genesis_stack.modelstore.quantity import show_size

    host = proposal.machine.host
    say(f"this machine: {show_size(host.memory)} of memory, {host.cpus:g} processors")
    for reason in proposal.passed_over:
        say(f"passed over: {reason}")
    for served in proposal.models:
        engine = served.fitted.engine
        say(
            f"{served.fitted.offer.name}: {engine.parallel} at once, {engine.context} tokens each, "
            f"{show_size(served.fitted.memory)} of memory, {served.cpus:g} processors, port {served.port}"
        )
    sudo = "sudo " if proposal.machine.systemd and os.geteuid() != 0 else ""
    say(f"wrote {path}; next: {sudo}genesis-stack apply {path}")
