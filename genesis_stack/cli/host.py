"""The host that a verb works on: its options, its stack, and the lock of those that change it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from genesis_stack.cli.duration import duration
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout

if TYPE_CHECKING:
    from genesis_stack.reconcile.apply import Host
    from genesis_stack.settings import Settings

Command = TypeVar("Command", bound=Callable[..., object])
STACK = click.argument("stack", type=click.Path(path_type=Path), default=Path("stack.yaml"))
"""The stack file of a verb that needs one."""
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


def host_options(command: Command) -> Command:
    """Add the options that say where the host's tree is and what runs its servers."""
    root = click.option(
        "--root", type=click.Path(path_type=Path), help="Keep everything below this directory."
    )
    kinds = click.Choice(["systemd", "embedded"])
    backend = click.option("--backend", type=kinds, help="What runs the servers; found by itself.")
    return root(backend(command))


def lock_option(command: Command) -> Command:
    """Add the option that says how long to wait for another run."""
    text = "How long to wait for another run to end."
    return click.option("--lock-timeout", type=duration, default="0s", show_default=True, help=text)(command)


def ssh_options(command: Command) -> Command:
    """Add the options that say how to get to other hosts."""
    sudo = click.option("--sudo", is_flag=True, help="Become root on other hosts with sudo.")
    kind = click.Path(path_type=Path, exists=True, dir_okay=False)
    return sudo(click.option("--ssh-config", type=kind, help="Configuration file for ssh.")(command))


def say(text: str) -> None:
    """Tell one line of the story on stderr."""
    click.echo(text, err=True)


def open_host(root: Path | None, backend: str | None, tell: Callable[[str], None] = say) -> Host:
    """The host of these options, or of the settings where they are not given; `tell` takes its story."""
    from genesis_stack.reconcile.apply import Host
    from genesis_stack.settings import load_settings

    settings = load_settings(root=root, backend=backend)
    layout = settings.layout
    if settings.runs_on == "systemd":
        from genesis_stack.backends.systemd import SystemdBackend

        return Host(layout, SystemdBackend(layout), tell)
    from genesis_stack.backends.embedded import EmbeddedBackend

    if _is_the_systems_meant(settings):
        say("note: this is about what you run yourself, which is nothing; `sudo` makes it about the system's")
    return Host(layout, EmbeddedBackend(layout), tell)


def _is_the_systems_meant(settings: Settings) -> bool:
    """Whether something is applied for the system, unseen for want of root, and nothing for this user.

    The system's generations are hidden from users; its units are not.
    """
    from genesis_stack.render.systemd import TARGET, UNITS

    applied_here = os.path.lexists(settings.layout.current)
    return settings.users_for_want_of_root and Path(UNITS / TARGET).exists() and not applied_here


@contextlib.contextmanager
def locked(layout: Layout, timeout: float) -> Iterator[None]:
    """Hold the host's lock; a second run sees this command line."""
    from genesis_stack.reconcile.lock import held

    with held(layout.lock, timeout, "genesis-stack " + " ".join(sys.argv[1:])):
        yield


def chosen(name: str | None, models: Collection[str], others: Collection[str] = ()) -> str:
    """One of the models or of the others, by its name; without a name the only model.

    Raises:
        GenesisError: there is none of that name, or there are several models to choose from.
    """
    if name is None and len(models) == 1:
        return next(iter(models))
    if name is None or (name not in models and name not in others):
        what = "which model?" if name is None else f"nothing named {name!r} is applied"
        names = ", ".join((*models, *others)) or "none"
        raise GenesisError(what, hint=f"there are: {names}", exit_code=ExitCode.USAGE)
    return name


def model_address(host: Host, model: str | None) -> tuple[str, str]:
    """Name and base URL of a running model; without a name, of the only one.

    Raises:
        GenesisError: there is no such model, or there are several to choose from.
    """
    from genesis_stack.spec.addresses import authority, from_here

    generations = host.transaction.generations
    services = generations.load(generations.current()).services
    model = chosen(model, services)
    service = services[model]
    return model, f"{'https' if service.tls else 'http'}://{authority(from_here(service.host), service.port)}"
