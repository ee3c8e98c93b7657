"""`genesis-stack status`: sync and health, apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from genesis_stack.cli.colour import show
from genesis_stack.cli.duration import duration
from genesis_stack.cli.host import AS_JSON, host_options, open_host, ssh_options
from genesis_stack.cli.watching import watch
from genesis_stack.errors import ExitCode
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.status import ModelStatus, Status, read_status

COLUMNS = ("MODEL", "ADDRESS", "STATE", "HEALTH", "UPTIME", "MEMORY", "REQUESTS", "TOKENS/S", "TTFT")
COLOURS = {
    **dict.fromkeys(("in sync", "healthy", "running", "ready"), "green"),
    **dict.fromkeys(("starting", "draining", "unloaded", "interrupted", "nothing applied"), "yellow"),
    **dict.fromkeys(("drifted", "not healthy", "failed", "absent", "unreachable", "down"), "red"),
}
"""Words of sync, state and health by how good they are."""
SHORTEST = 0.1
"""Seconds between two looks; a look takes its time as well."""


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="Of every host of the stack, asked over SSH.")
@click.option(
    "--stack", type=click.Path(path_type=Path), help="What names the hosts; absent: the one applied."
)
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=duration,
    default="2s",
    show_default=True,
    help="Time between two looks of --watch.",
)
@AS_JSON
@ssh_options
@host_options
def status(
    *,
    everywhere: bool,
    stack: Path | None,
    watching: bool,
    interval: float,
    as_json: bool,
    sudo: bool,
    ssh_config: Path | None,
    root: Path | None,
    backend: str | None,
) -> int:
    """Show sync and health of every model.

    With --watch a terminal shows them live; into a pipe goes one text, or one line of JSON, a look.
    """
    if interval < SHORTEST:
        raise click.BadParameter(f"must be at least {SHORTEST:g} seconds", param_hint="--interval")
    if everywhere and watching:
        raise click.UsageError("--watch looks at this machine alone: leave out --all")
    if not everywhere and (stack is not None or sudo or ssh_config is not None):
        raise click.UsageError("--stack, --sudo and --ssh-config are for other hosts: add --all")
    host = open_host(root, backend)
    if everywhere:
        from genesis_stack.cli.other_hosts import tell_all
        from genesis_stack.fleet.ssh import Reach

        return tell_all(stack, host, Reach(sudo, ssh_config), as_json=as_json)
    if watching:
        watch(lambda: _shown(host, as_json=as_json, indent=None), interval, screen=not as_json)
    else:
        show(_shown(host, as_json=as_json, indent=2))
    return ExitCode.OK


def _shown(host: Host, *, as_json: bool, indent: int | None) -> str:
    found = read_status(host)
    return json.dumps(found.as_json(), indent=indent) if as_json else _text(found)


def _text(found: Status) -> str:
    health = _painted("healthy" if found.healthy else "not healthy")
    generation = "none" if found.generation is None else str(found.generation)
    where = f"stack {found.stack or '-'}, generation {generation}, backend {found.backend}"
    state = f"{_painted(found.sync)}, {health}" if found.models else _painted(found.sync)
    lines = [f"{where}: {state}", *_table(found.models)]
    lines += [f"{model.model}: {model.event}" for model in found.models if model.event]
    lines += [f"drift: {drift}" for drift in found.drift]
    lines += [f"not enforced: {note}" for note in found.notes]
    return "\n".join(lines)


def _table(models: Sequence[ModelStatus]) -> list[str]:
    if not models:
        return []
    rows = [COLUMNS, *(_row(model) for model in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_cell, range(len(row)), row, widths)).rstrip() for row in rows]


def _cell(column: int, text: str, width: int) -> str:
    padded = text.ljust(width)
    return padded.replace(text, _painted(text), 1) if COLUMNS[column] in {"STATE", "HEALTH"} else padded


def _painted(word: str) -> str:
    return click.style(word, fg=COLOURS[word]) if word in COLOURS else word


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
