"""`genesis-stack destroy`: remove everything that genesis-stack put on the host."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, lock_option, locked, open_host, say


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--keep-models", is_flag=True, help="Leave the downloaded model files.")
@lock_option
@AS_JSON
@host_options
def destroy(
    *,
    yes: bool,
    keep_models: bool,
    lock_timeout: float,
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> None:
    """Stop every model and remove services, generations, issued keys, caches, state and model files.

    Secrets and audit records stay, and what is not of genesis-stack; the last line says where.
    """
    host = open_host(root, backend)
    if not yes:
        what = f"every model server and what genesis-stack keeps in {host.layout.state}"
        click.confirm(f"Remove {what}?", abort=True, err=True)
    with locked(host.layout, lock_timeout):
        kept = host.destroy(keep_models=keep_models)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "kept": kept}))
    say("nothing of genesis-stack is left" + (f" but {' and '.join(kept)}" if kept else ""))
