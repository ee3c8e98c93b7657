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
    """Stop every model and remove services, generations, issued keys, state and model files."""
    host = open_host(root, backend)
    if not yes:
        click.confirm(f"Remove every model server and all of {host.layout.state}?", abort=True, err=True)
    with locked(host.layout, lock_timeout):
        host.destroy(keep_models=keep_models)
    kept = ["the model files"] if keep_models else []
    kept += [f"the secrets in {host.layout.secrets}"] if host.layout.secrets.exists() else []
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "kept": kept}))
    say("nothing of genesis-stack is left" + (f" but {' and '.join(kept)}" if kept else ""))
