"""`genesis-stack history`: the generations, newest first."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, host_options, open_host


@click.command()
@AS_JSON
@host_options
def history(*, as_json: bool, root: Path | None, backend: str | None) -> None:
    """List the generations, newest first."""
    generations = open_host(root, backend).transaction.generations
    current = generations.current()
    rows = []
    for number in reversed(generations.numbers()):
        info, result = generations.info(number), generations.result(number)
        rows.append(
            {
                "generation": number,
                "current": number == current,
                "created": info.created,
                "stack": info.name,
                "models": list(info.services),
                "outcome": result.outcome if result is not None else "unfinished",
                "reason": result.reason if result is not None else "",
            }
        )
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "generations": rows}, indent=2))
        return
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(str(row["created"]))))
        mark = "*" if row["current"] else " "
        reason = f": {str(row['reason']).splitlines()[0]}" if row["reason"] else ""
        models = " ".join(map(str, row["models"])) if isinstance(row["models"], list) else ""
        click.echo(f"{mark} {row['generation']:>5}  {when}  {row['outcome']}{reason}  [{models}]")
