"""`genesis-stack validate`: is the stack right, and does it fit?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genesis_stack.cli.host import AS_JSON, STACK, host_options
from genesis_stack.errors import ExitCode

if TYPE_CHECKING:
    from genesis_stack.modelstore.fit import Fit
    from genesis_stack.modelstore.memory import Row
    from genesis_stack.modelstore.verdict import Verdict
    from genesis_stack.spec.problems import Problem


@click.command()
@STACK
@click.option("--no-host", is_flag=True, help="Leave out what depends on this machine.")
@AS_JSON
@host_options
def validate(*, stack: Path, no_host: bool, as_json: bool, root: Path | None, backend: str | None) -> int:
    """Check STACK and show how its memory adds up. Changes nothing.

    Numbers marked with ~ are estimates. Exit status 78: the stack is invalid or cannot fit.
    """
    from genesis_stack.cli.validation import validated
    from genesis_stack.settings import load_settings
    from genesis_stack.spec.problems import InvalidStackError

    try:
        _, verdict = validated(stack, load_settings(root=root, backend=backend).layout, no_host=no_host)
    except InvalidStackError as error:
        if not as_json:
            raise
        click.echo(_document(error.problems, None))
        return ExitCode.INVALID_CONFIG
    if as_json:
        click.echo(_document(verdict.problems, verdict))
        return ExitCode.INVALID_CONFIG if verdict.problems else ExitCode.OK
    click.echo("\n".join(line for host, fit in verdict.fits.items() for line in _table(host, fit)))
    for warning in verdict.warnings:
        click.echo(f"warning: {warning}", err=True)
    if verdict.problems:
        raise InvalidStackError(verdict.problems)
    click.echo(f"{stack} is valid", err=True)
    return ExitCode.OK


def _table(host: str | None, fit: Fit) -> Iterator[str]:
    if host is not None:
        yield f"on host {host}"
    for model in fit.models:
        yield model.name
        yield from _sum(model.rows, model.needed, model.budget, "budget", complete=model.known)
    if fit.host is not None:
        yield "this host"
        source = fit.host.host.memory_source
        yield from _sum(fit.host.rows, fit.host.needed, fit.host.host.memory, source, complete=True)


def _sum(rows: Sequence[Row], needed: int, limit: int, source: str, *, complete: bool) -> Iterator[str]:
    from genesis_stack.modelstore.quantity import show_size

    width = max([26, *(len(row.what) for row in rows)])
    for row in rows:
        mark = "~" if row.estimated else " "
        yield f"  {row.what:{width}} {mark}{show_size(row.size):>9}  {row.note}".rstrip()
    verdict = "fits" if needed <= limit else "DOES NOT FIT"
    least = "" if complete else "at least "
    yield f"  {'sum':{width}}  {show_size(needed):>9}  {least}of {show_size(limit)} ({source}): {verdict}"
    yield ""


def _document(problems: Sequence[Problem], verdict: Verdict | None) -> str:
    data: dict[str, Any] = {
        "schema_version": 1,
        "valid": not problems,
        "problems": [asdict(problem) for problem in problems],
        "warnings": [asdict(warning) for warning in verdict.warnings] if verdict else [],
        "hosts": [_fit(host, fit) for host, fit in verdict.fits.items()] if verdict else [],
    }
    return json.dumps(data, indent=2)


def _fit(host: str | None, fit: Fit) -> dict[str, Any]:
    """Sizes in bytes."""
    return {
        "host": host,
        "models": [
            {
                "name": model.name,
                "rows": [asdict(row) for row in model.rows],
                "needed": model.needed,
                "budget": model.budget,
                "complete": model.known,
            }
            for model in fit.models
        ],
        "memory": None
        if fit.host is None
        else {
            "rows": [asdict(row) for row in fit.host.rows],
            "needed": fit.host.needed,
            "available": fit.host.host.memory,
            "source": fit.host.host.memory_source,
        },
    }
