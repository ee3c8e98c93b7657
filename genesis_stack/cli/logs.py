"""`genesis-stack logs`: what a model's server has written."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from genesis_stack.cli.colour import coloured
from genesis_stack.cli.completion import applied_models
from genesis_stack.cli.host import host_options, model_address, open_host


@click.command()
@click.argument("model", required=False, shell_complete=applied_models)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=100, help="How many of the last lines.")
@host_options
def logs(*, model: str | None, follow: bool, lines: int, root: Path | None, backend: str | None) -> None:
    """Show the log of MODEL, which may be left out when there is only one, or of a monitor.

    Monitors are monitor.prometheus, monitor.alertmanager and monitor.exporter.
    On a terminal it is text; into a pipe or a file go the lines of JSON as they were written.
    """
    shown = _on_terminal() if sys.stdout.isatty() else str
    host = open_host(root, backend)
    generations = host.transaction.generations
    watching = generations.load(generations.current()).monitors
    name = model if model and model in watching else model_address(host, model)[0]
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
