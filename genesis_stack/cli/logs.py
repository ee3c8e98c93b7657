"""`genesis-stack logs`: what a model's server has written."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from genesis_stack.cli.host import host_options, model_address, open_host


@click.command()
@click.argument("model", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=100, help="How many of the last lines.")
@host_options
def logs(*, model: str | None, follow: bool, lines: int, root: Path | None, backend: str | None) -> None:
    """Show the log of MODEL, which may be left out when there is only one."""
    host = open_host(root, backend)
    name, _ = model_address(host, model)
    if not follow:
        for line in host.backend.log_tail(name, lines):
            click.echo(line)
        return
    with contextlib.suppress(KeyboardInterrupt):
        for line in host.backend.follow_log(name, lines):
            click.echo(line)
