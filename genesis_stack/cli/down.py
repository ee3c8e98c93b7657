"""`genesis-stack down`: stop every model; nothing is removed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, lock_option, locked, open_host, say


@click.command()
@lock_option
@AS_JSON
@host_options
def down(*, lock_timeout: float, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Stop every model; keep state and model files. `apply` starts them again."""
    host = open_host(root, backend)
    with locked(host.layout, lock_timeout):
        stopped = host.down()
    for model in stopped:
        say(f"stopped {model}")
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "stopped": list(stopped)}))
    else:
        click.echo("Nothing to do." if not stopped else f"{len(stopped)} stopped")
