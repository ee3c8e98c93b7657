"""`genesis-stack rollback`: back to a stored generation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, lock_option, locked, open_host, say
from genesis_stack.errors import GenesisError
from genesis_stack.reconcile.generations import Generations
from genesis_stack.reconcile.steps import outline


@click.command()
@click.argument("generation", type=int, required=False)
@lock_option
@AS_JSON
@host_options
def rollback(
    *, generation: int | None, lock_timeout: float, as_json: bool, root: Path | None, backend: str | None
) -> None:
    """Go back to GENERATION, by default to the one that was in force before.

    Suspends this host's agent, which would follow the branch forward again at once.
    """
    from genesis_stack.gitops.record import suspend_for

    host = open_host(root, backend)
    with locked(host.layout, lock_timeout):
        number = _before(host.transaction.generations) if generation is None else generation
        if suspend_for(host.layout, f"rolled back to generation {number} by hand"):
            say("the agent is suspended; `genesis-stack agent resume` lets it follow the branch again")
        done = host.rollback(number)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "generation": number, "steps": outline(done)}, indent=2))
    elif done.empty:
        click.echo("Nothing to do.")
    say(f"generation {number} is in force")


def _before(generations: Generations) -> int:
    """The last generation that was applied before the current one."""
    number = generations.before(generations.current())
    if number is None:
        raise GenesisError("there is no earlier generation that worked", hint="see `genesis-stack history`")
    return number
