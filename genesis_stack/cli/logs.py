"""`genesis-stack logs`: what a model's server has written."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from genesis_stack.cli.colour import coloured
from genesis_stack.cli.completion import applied_programs
from genesis_stack.cli.host import chosen, host_options, open_host


@click.command()
@click.argument("model", required=False, shell_complete=applied_programs)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="How many of the last lines.",
)
@host_options
def logs(*, model: str | None, follow: bool, lines: int, root: Path | None, backend: str | None) -> None:
    """Show the log of MODEL, which may be left out when there is only one, or of a program beside the models.

    Those are monitor.prometheus, monitor.alertmanager, monitor.exporter, front.gateway and gitops.agent, as
    far as the stack has them; a name that is not there is answered with those that are.
    On a terminal it is text; into a pipe or a file go the lines of JSON as they were written.
    """
    shown = _on_terminal() if sys.stdout.isatty() else str
    host = open_host(root, backend)
    generations = host.transaction.generations
    applied = generations.load(generations.current())
    name = chosen(model, applied.services, applied.monitors)
    if not follow:
        for line in host.backend.log_tail(name, lines):
            click.echo(shown(line))
        return
    with contextlib.suppress(KeyboardInterrupt):
        for line in host.backend.follow_log(name, lines):
            click.echo(shown(line))


def _on_terminal() -> Callable[[str], str]:
    from genesis_stack.protocol.log_entry import HEAD, text_of

    colours = coloured(sys.stdout)

    def shown(line: str) -> str:
        """What is no entry, as the words of a library, stays as it is."""
        try:
            entry = json.loads(line)
        except ValueError:
            return line
        is_entry = isinstance(entry, dict) and all(name in entry for name in HEAD)
        return text_of(entry, colours=colours) if is_entry else line

    return shown
