"""The host that a verb works on: its options, its stack, and the lock of those that change it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout

if TYPE_CHECKING:
    from genesis_stack.reconcile.apply import Host

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
    text = "Seconds to wait for another run to end."
    return click.option("--lock-timeout", type=click.FloatRange(min=0), default=0.0, help=text)(command)


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

    if settings.root is None and settings.backend == "auto" and Layout.system().state.is_dir():
        say("note: genesis-stack runs here as root; without sudo this looks at what your own user runs")

    return Host(layout, EmbeddedBackend(layout), tell)


@contextlib.contextmanager
def locked(layout: Layout, timeout: float) -> Iterator[None]:
    """Hold the host's lock; a second run sees this command line."""
    from genesis_stack.reconcile.lock import held

    with held(layout.lock, timeout, "genesis-stack " + " ".join(sys.argv[1:])):
        yield


def model_address(host: Host, model: str | None) -> tuple[str, str]:
    """Name and base URL of a running model; without a name, of the only one.

    Raises:
        GenesisError: there is no such model, or there are several to choose from.
    """
    from genesis_stack.backends.probe import ANY_ADDRESS

    generations = host.transaction.generations
    services = generations.load(generations.current()).services
    names = ", ".join(services) or "none"
    if model is None and len(services) == 1:
        model = next(iter(services))
    if model is None or model not in services:
        what = "which model?" if model is None else f"no model {model!r} is applied"
        raise GenesisError(what, hint=f"there are: {names}", exit_code=ExitCode.USAGE)
    service = services[model]
    address = ANY_ADDRESS.get(service.host, service.host)
    shown = f"[{address}]" if ":" in address else address
    return model, f"{'https' if service.tls else 'http'}://{shown}:{service.port}"
