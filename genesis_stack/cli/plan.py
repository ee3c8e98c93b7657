"""`genesis-stack plan`: what an apply would change, and why; changes nothing."""

from __future__ import annotations

from pathlib import Path

import click

from genesis_stack.cli.completion import hosts
from genesis_stack.cli.host import AS_JSON, STACK, host_options, open_host, say, ssh_options
from genesis_stack.cli.stack import read_stack
from genesis_stack.errors import ExitCode


@click.command()
@STACK
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Save the plan; `apply FILE` does it.")
@click.option("--exit-code", is_flag=True, help="End with 2 when there are changes.")
@click.option(
    "--host",
    "on",
    help="A name in `hosts` of the stack, asked over SSH; absent: this machine.",
    shell_complete=hosts,
)
@AS_JSON
@ssh_options
@host_options
def plan(
    *,
    stack: Path,
    out: Path | None,
    exit_code: bool,
    on: str | None,
    as_json: bool,
    sudo: bool,
    ssh_config: Path | None,
    root: Path | None,
    backend: str | None,
) -> int:
    """Show what apply would change, and why."""
    from genesis_stack import durable
    from genesis_stack.reconcile.generations import digest
    from genesis_stack.reconcile.state import read_journal
    from genesis_stack.reconcile.steps import SavedPlan, to_json, to_text

    if on is None and (sudo or ssh_config is not None):
        raise click.UsageError("--sudo and --ssh-config are for another host: add --host")
    if on is not None:
        from genesis_stack.cli.other_hosts import plan_on
        from genesis_stack.fleet.ssh import Reach

        words = [*(["--exit-code"] if exit_code else []), *(["--json"] if as_json else [])]
        code = plan_on(stack, on, words, Reach(sudo, ssh_config), saved=out is not None)
        if code is not None:
            return code
    host = open_host(root, backend)
    parsed, source = read_stack(stack, host.layout)
    made = host.plan(parsed, source)
    if read_journal(host.layout) is not None:
        say("an earlier run was interrupted: apply finishes or reverts it first, and plans anew")
    if out is not None:
        saved = SavedPlan(str(stack.resolve()), digest(source), made.fingerprint)
        durable.write(out, to_json(made, saved), 0o600)
    click.echo(to_json(made) if as_json else to_text(made), nl=False)
    return ExitCode.CHANGES if exit_code and not made.empty else ExitCode.OK
