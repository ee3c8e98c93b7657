"""`genesis-stack status`: sync and health, apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, open_host, ssh_options
from genesis_stack.errors import ExitCode
from genesis_stack.reconcile.status import ModelStatus, Status, read_status

COLUMNS = ("MODEL", "ADDRESS", "STATE", "HEALTH", "UPTIME", "MEMORY", "REQUESTS", "TOKENS/S", "TTFT")


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="Of every host of the stack, asked over SSH.")
@click.option(
    "--stack", type=click.Path(path_type=Path), help="What names the hosts; absent: the one applied."
)
@AS_JSON
@ssh_options
@host_options
def status(
    *,
    everywhere: bool,
    stack: Path | None,
    as_json: bool,
    sudo: bool,
    ssh_config: Path | None,
    root: Path | None,
    backend: str | None,
) -> int:
    """Show sync and health of every model."""
    host = open_host(root, backend)
    if everywhere:
        from genesis_stack.cli.elsewhere import tell_all
        from genesis_stack.fleet.ssh import Reach

        return tell_all(stack, host, Reach(sudo, ssh_config), as_json=as_json)
    found = read_status(host)
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else _text(found))
    return ExitCode.OK


def _text(found: Status) -> str:
    health = "healthy" if found.healthy else "not healthy"
    generation = "none" if found.generation is None else str(found.generation)
    where = f"stack {found.stack or '-'}, generation {generation}, backend {found.backend}"
    lines = [f"{where}: {found.sync}, {health}", *_table(found.models)]
    lines += [f"{model.model}: {model.event}" for model in found.models if model.event]
    lines += [f"drift: {drift}" for drift in found.drift]
    lines += [f"not enforced: {note}" for note in found.notes]
    return "\n".join(lines)


def _table(models: Sequence[ModelStatus]) -> list[str]:
    if not models:
        return []
    rows = [COLUMNS, *(_row(model) for model in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(model: ModelStatus) -> tuple[str, ...]:
    used = "-" if model.memory is None else f"{model.memory / 2**20:.0f}"
    return (
        model.model,
        model.address,
        model.state,
        model.health,
        "-" if model.uptime is None else _duration(model.uptime),
        f"{used}/{model.budget / 2**20:.0f} MiB",
        "-" if model.requests is None else f"{model.requests:.0f}",
        "-" if model.tokens_per_second is None else f"{model.tokens_per_second:.1f}",
        "-" if model.ttft is None else f"{model.ttft * 1000:.0f} ms",
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"
