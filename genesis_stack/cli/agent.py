"""`genesis-stack agent`: follow the branch that the applied stack names, one look at a time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.host import AS_JSON, host_options, lock_option, open_host, say

if TYPE_CHECKING:
    from genesis_stack.gitops.agent import Agent
    from genesis_stack.gitops.record import Record
    from genesis_stack.layout import Layout
    from genesis_stack.reconcile.apply import Host
    from genesis_stack.spec.model import Stack


@click.group(name="agent")
def agent() -> None:
    """Follow the branch that the applied stack names under `gitops`."""


@agent.command(name="run-once")
@lock_option
@AS_JSON
@host_options
def run_once(*, lock_timeout: float, as_json: bool, root: Path | None, backend: str | None) -> int:
    """Look at the branch once, and make this host agree with it.

    Ends with 77 for a commit that is not signed as it must be or does not stand on what is in force, with 4
    when a change was rolled back, and with 0 when all agrees, waits for the canary, or is suspended.
    """
    report = open_agent(open_host(root, backend), lock_timeout).run_once()
    short = (report.revision or "-")[:12]
    if as_json:
        data = {"outcome": report.outcome, "revision": report.revision, "reason": report.reason}
        click.echo(json.dumps({"schema_version": 1, **data}, indent=2))
    else:
        click.echo(f"{short} {report.outcome}{f': {report.reason}' if report.reason else ''}")
    return report.exit_code


def open_agent(host: Host, lock_timeout: float) -> Agent:
    """The agent of a host, with what it needs of the verbs."""
    from genesis_stack.cli.apply import fetch, proof_by_load
    from genesis_stack.cli.stack import read_stack
    from genesis_stack.gitops.agent import Agent
    from genesis_stack.gitops.attempt import Means

    def get(stack: Stack, path: Path) -> None:
        fetch(host, stack, path)

    means = Means(read=lambda path: read_stack(path, host.layout), fetch=get, load_gate=proof_by_load)
    return Agent(host, means, lock_timeout)


@agent.command()
@click.option("--reason", required=True, help="Why; `status` and the alert show it.")
@host_options
def suspend(*, reason: str, root: Path | None, backend: str | None) -> None:
    """Follow nothing and heal nothing until `resume`."""
    from genesis_stack.gitops.record import Suspension, write_suspension

    write_suspension(open_host(root, backend).layout, Suspension(reason=reason, since=time.time()))
    say("suspended; `genesis-stack agent resume` ends it")


@agent.command()
@click.option("--adopt", metavar="REVISION", help="Follow this revision though it does not stand on ours.")
@lock_option
@host_options
def resume(*, adopt: str | None, lock_timeout: float, root: Path | None, backend: str | None) -> None:
    """Follow the branch again; what was quarantined gets another chance."""
    from genesis_stack.gitops.record import read_record, write_record, write_suspension
    from genesis_stack.reconcile.lock import held

    layout = open_host(root, backend).layout
    with held(layout.run / "agent.lock", lock_timeout, "genesis-stack agent resume"):
        news = {"trouble": None, "adopted": _full(adopt, layout) if adopt is not None else None}
        write_record(layout, read_record(layout).model_copy(update=news))
        write_suspension(layout, None)
    say("the agent follows its branch again, from its next run on")


def _full(revision: str, layout: Layout) -> str:
    """The full name of a revision that the branch holds now; nobody adopts what he has not seen.

    Raises:
        GenesisError: it is not the one that the last fetch found.
    """
    from genesis_stack.errors import ExitCode, GenesisError
    from genesis_stack.gitops.record import read_record

    seen = read_record(layout).seen
    if seen is None or len(revision) < len("1234567") or not seen.startswith(revision):
        raise GenesisError(
            f"the branch does not hold {revision}",
            hint=f"the last fetch found {seen or 'nothing'}: adopt that one",
            exit_code=ExitCode.USAGE,
        )
    return seen


@agent.command()
@AS_JSON
@host_options
def status(*, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Show what is in force, what the branch holds, and what stands between them."""
    from genesis_stack.gitops.record import last_look, read_record, read_suspension

    layout = open_host(root, backend).layout
    record, suspension = read_record(layout), read_suspension(layout)
    if as_json:
        data = record.model_dump(mode="json") | {
            "suspended": suspension.model_dump(mode="json") if suspension is not None else None,
            "looked": last_look(layout),
        }
        click.echo(json.dumps(data, indent=2))
        return
    if suspension is not None:
        click.echo(f"suspended  {suspension.reason} ({_ago(suspension.since)})")
    for line in _lines(record):
        click.echo(line)
    click.echo(f"last look  {_ago(last_look(layout))}")


def _lines(record: Record) -> list[str]:
    generation = f", generation {record.generation}" if record.generation is not None else ""
    lines = [f"in force   {record.applied or 'nothing yet'}{generation if record.applied else ''}"]
    lines += [f"branch     {record.seen or 'never fetched'}"]
    if record.trouble is not None and record.trouble.revision == record.seen:
        lines.append(f"           {record.trouble.kind}: {record.trouble.reason}")
    lines += [f"waiting    {record.waiting}"] if record.waiting else []
    lines += ["drifted    and left so: gitops.self_heal is false"] if record.drifted else []
    lines += [f"fetch      {record.fetch_error}"] if record.fetch_error else []
    lines += [f"not told   {one.way}: {one.notice.key}" for one in record.pending]
    return lines


def _ago(when: float) -> str:
    return "never" if when == 0 else f"{max(0, round(time.time() - when))} s ago"
