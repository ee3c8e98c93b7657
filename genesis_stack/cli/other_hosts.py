"""What verbs do on the other hosts of a stack: plan there, and tell how all of them are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from genesis_stack.backends import SERVING
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.fleet.member import member, members
from genesis_stack.fleet.ssh import Reach
from genesis_stack.fleet.status import HostStatus, read_all
from genesis_stack.modelstore.host import read_host
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.status import read_status
from genesis_stack.spec.load import load, loads
from genesis_stack.spec.model import Stack

COLUMNS = ("HOST", "SYNC", "HEALTH", "GENERATION", "MODELS", "MEMORY")


def plan_on(path: Path, name: str, words: Sequence[str], reach: Reach, *, saved: bool) -> int | None:
    """Show the plan that a host makes of this stack, and end as it ends; None where we are that host.

    Raises:
        GenesisError: there is no such host, it cannot be asked, or the plan was to be saved here.
    """
    one = member(load(path), name, read_host())
    if one.here:
        return None
    if saved:
        hint = f"plan -o on {name} itself, and apply it there"
        raise GenesisError(
            "a saved plan belongs to the host it was made on", hint=hint, exit_code=ExitCode.USAGE
        )
    done = reach.ask(one.reached_at(), ["plan", *words], stack=path.read_text(encoding="utf-8"))
    click.echo(done.stdout, nl=False)
    click.echo(done.stderr, nl=False, err=True)
    return done.returncode


def tell_all(stack: Path | None, host: Host, reach: Reach, *, as_json: bool) -> int:
    """Show how every host of a stack is; ends with 1 when one is away."""
    asked = members(_stack(stack, host), read_host())
    rows = read_all(asked, reach, lambda: read_status(host))
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "hosts": [row.as_json() for row in rows]}, indent=2))
    else:
        click.echo("\n".join(_table(rows)))
    return ExitCode.FAILED if any(row.status is None for row in rows) else ExitCode.OK


def _stack(path: Path | None, host: Host) -> Stack:
    """The stack that names the hosts: the file, or the one that is applied here."""
    if path is not None:
        return load(path)
    generations = host.transaction.generations
    current = generations.current()
    if current is None:
        raise GenesisError(
            "nothing is applied on this machine that would name the hosts",
            hint="genesis-stack status --all --stack stack.yaml",
            exit_code=ExitCode.USAGE,
        )
    return loads(generations.load(current).source, f"generation {current}")


def _table(rows: Sequence[HostStatus]) -> list[str]:
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return [*lines, *(f"{row.host}: {row.error}" for row in rows if row.error)]


def _cells(row: HostStatus) -> tuple[str, ...]:
    status = row.status
    if status is None:
        return (row.host, "away", "-", "-", "-", "-")
    used = sum(model.memory or 0 for model in status.models)
    serving = sum(model.health in SERVING for model in status.models)
    return (
        row.host,
        status.sync,
        "healthy" if status.healthy else "not healthy",
        "none" if status.generation is None else str(status.generation),
        f"{serving} of {len(status.models)} serve",
        f"{used / 2**20:.0f}/{sum(model.budget for model in status.models) / 2**20:.0f} MiB",
    )
