"""`genesis-stack diff`: two generations, file by file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, open_host


@click.command()
@click.argument("a", type=int)
@click.argument("b", type=int)
@AS_JSON
@host_options
def diff(*, a: int, b: int, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Compare generations A and B: the stack and every rendered file."""
    from genesis_stack.reconcile.plan import unified_diff

    generations = open_host(root, backend).transaction.generations
    old, new = generations.load(a), generations.load(b)
    before = {"stack.yaml": old.source} | {str(path): file.content for path, file in old.files.items()}
    after = {"stack.yaml": new.source} | {str(path): file.content for path, file in new.files.items()}
    found = {
        path: unified_diff(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "a": a, "b": b, "files": found}, indent=2))
    else:
        for text in found.values():
            click.echo(text)
