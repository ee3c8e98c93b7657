"""`genesis-stack migrate`: bring a stack to the current version of the format."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, STACK, say
from genesis_stack.errors import ExitCode


@click.command()
@STACK
@click.option("--check", is_flag=True, help="Write nothing; exit 2 and show a diff if anything would change.")
@AS_JSON
def migrate(*, stack: Path, check: bool, as_json: bool) -> int:
    """Rewrite STACK for the current version of the format; comments and order stay.

    The result is validated before it is written. A stack of the current version is left as it is, and one of
    a newer version is an error.
    """
    from genesis_stack import durable
    from genesis_stack.spec.load import loads
    from genesis_stack.spec.migration import CURRENT, MIGRATIONS, migrated
    from genesis_stack.spec.source import read

    old = read(stack)
    new = migrated(old, MIGRATIONS, CURRENT)
    changes = new.text != old.text
    if changes:
        loads(new.text, str(stack))
        if not check:
            durable.write(stack, new.text, stack.stat().st_mode & 0o777)
    if as_json:
        data = {"schema_version": 1, "stack": str(stack), "api_version": CURRENT, "changed": changes}
        click.echo(json.dumps(data, indent=2))
    else:
        _tell(stack, old.text, new.text)
    return ExitCode.CHANGES if check and changes else ExitCode.OK


def _tell(stack: Path, old: str, new: str) -> None:
    import difflib

    from genesis_stack.spec.migration import CURRENT

    lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
    click.echo("".join(difflib.unified_diff(*lines, str(stack), f"{stack} ({CURRENT})")), nl=False)
    if old == new:
        say(f"{stack} is of {CURRENT}, the current version: nothing to do")
