"""`genesis-stack history`: the generations, newest first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.host import AS_JSON, host_options, open_host

if TYPE_CHECKING:
    from genesis_stack.reconcile.generations import Generations


@dataclass(frozen=True, slots=True)
class Entry:
    """One generation and how its apply went; `created` is a UNIX time."""

    generation: int
    current: bool
    created: float
    stack: str
    models: tuple[str, ...]
    outcome: str
    reason: str

    def line(self) -> str:
        """For a terminal; of a reason its first line."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.created))
        mark = "*" if self.current else " "
        reason = f": {self.reason.splitlines()[0]}" if self.reason else ""
        return f"{mark} {self.generation:>5}  {when}  {self.outcome}{reason}  [{' '.join(self.models)}]"


@click.command()
@AS_JSON
@host_options
def history(*, as_json: bool, root: Path | None, backend: str | None) -> None:
    """List the generations, newest first."""
    entries = _entries(open_host(root, backend).transaction.generations)
    if as_json:
        data = [asdict(entry) for entry in entries]
        click.echo(json.dumps({"schema_version": 1, "generations": data}, indent=2))
        return
    for entry in entries:
        click.echo(entry.line())


def _entries(generations: Generations) -> Iterator[Entry]:
    current = generations.current()
    for number in reversed(generations.numbers()):
        info, result = generations.info(number), generations.result(number)
        yield Entry(
            generation=number,
            current=number == current,
            created=info.created,
            stack=info.name,
            models=tuple(info.services),
            outcome=result.outcome if result is not None else "unfinished",
            reason=result.reason if result is not None else "",
        )
