"""`genesis-stack drift`: where the host has left the current generation, and what heals it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, open_host
from genesis_stack.errors import ExitCode


@click.command()
@AS_JSON
@host_options
def drift(*, as_json: bool, root: Path | None, backend: str | None) -> int:
    """Show where the host has left the current generation; ends with 2 when it has."""
    from genesis_stack.reconcile.drift import find_drift

    found = find_drift(open_host(root, backend))
    if as_json:
        data = {"schema_version": 1, "drift": [one.as_json() for one in found]}
        click.echo(json.dumps(data, indent=2))
    else:
        for one in found:
            click.echo(f"{one.kind}: {one.target}: {one.what}\n  fix: {one.fix}")
        if not found:
            click.echo("No drift.")
    return ExitCode.CHANGES if found else ExitCode.OK
