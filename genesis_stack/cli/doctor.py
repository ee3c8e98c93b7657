"""`genesis-stack doctor`: what ails this host, and what heals it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, open_host
from genesis_stack.errors import ExitCode


@click.command()
@AS_JSON
@host_options
def doctor(*, as_json: bool, root: Path | None, backend: str | None) -> int:
    """Find the cause of what goes wrong, and print what heals it; ends with 6 when there is one.

    The first cause is the one to heal first: it may explain the others.
    """
    from genesis_stack.doctor.diagnose import diagnose
    from genesis_stack.doctor.symptoms import read_symptoms

    symptoms = read_symptoms(open_host(root, backend))
    found = diagnose(symptoms)
    if as_json:
        data = {"schema_version": 1, "findings": [one.as_json() for one in found]}
        click.echo(json.dumps(data, indent=2))
    elif symptoms.generation is None and not found:
        click.echo("Nothing is applied here.\n  fix: genesis-stack apply STACK")
    else:
        for one in found:
            click.echo(f"{one.cause}: {one.target}\n  seen: {one.evidence}\n  fix: {one.fix}")
        if not found:
            click.echo("Nothing ails this host.")
    return ExitCode.VIOLATED if found else ExitCode.OK
