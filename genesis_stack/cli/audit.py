"""`genesis-stack audit`: whether the record of who did what is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genesis_stack.cli.colour import show
from genesis_stack.cli.completion import applied_models
from genesis_stack.cli.host import AS_JSON, host_options, model_address, open_host
from genesis_stack.errors import ExitCode, GenesisError

if TYPE_CHECKING:
    from genesis_stack.protocol.audit import Report
    from genesis_stack.reconcile.apply import Host


@click.group()
def audit() -> None:
    """Check the audit record."""


@audit.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--model",
    help="Read the record of this model, wherever its server keeps it.",
    shell_complete=applied_models,
)
@click.option(
    "--anchor", "anchors", multiple=True, help="A hash noted earlier, or its beginning; must occur."
)
@AS_JSON
@host_options
def verify(
    *,
    files: tuple[Path, ...],
    model: str | None,
    anchors: tuple[str, ...],
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> int:
    """Follow the chain through FILES, older ones first, or through the record of a model.

    Ends with 6 at the first line that was changed, removed, inserted or moved. Note the head that it prints
    somewhere else, and give it back later with --anchor: only so does a removed end show.
    """
    from genesis_stack.protocol.audit import verify as follow

    _check_anchors(anchors)
    if files and model:
        raise click.UsageError("give FILES or --model, not both")
    strict = True
    if files:
        lines = _file_lines(files)
    else:
        lines, strict = _lines_of(open_host(root, backend), model)
    report = follow(lines, anchors=anchors, strict=strict)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **_document(report)}, indent=2))
    else:
        _tell(report)
    return ExitCode.OK if report.broken is None else ExitCode.VIOLATED


def _check_anchors(anchors: tuple[str, ...]) -> None:
    from genesis_stack.protocol.audit import SHORTEST_ANCHOR

    for anchor in anchors:
        if len(anchor) < SHORTEST_ANCHOR or not set(anchor.lower()) <= set("0123456789abcdef"):
            raise click.UsageError(f"--anchor takes {SHORTEST_ANCHOR} or more hex digits of a record's hash")


def _file_lines(files: tuple[Path, ...]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            yield from file


def _lines_of(host: Host, model: str | None) -> tuple[Iterator[bytes], bool]:
    """The lines of a model's record, and whether there are no others among them."""
    from genesis_stack.process import run, stream
    from genesis_stack.protocol.audit import FILE_NAME
    from genesis_stack.render.serve import config_path
    from genesis_stack.render.systemd import service_name

    name, _ = model_address(host, model)
    kept = json.loads(Path(config_path(name, host.layout)).read_bytes()).get("audit", {"sink": "off"})
    match kept["sink"]:
        case "file":
            newest = Path(kept["directory"]) / FILE_NAME
            if not newest.is_file():
                raise GenesisError(f"{newest}: there is no audit record yet", hint="serve a request first")
            return _file_lines((*_rotated(newest), newest)), True
        case "journal":
            units = (service_name(name), f"{name}-server-next.service")
            chosen = [f"--unit={unit}" for unit in units]
            run(["journalctl", "--sync"], check=False)  # what was written, also that of a moment ago
            journal = ["journalctl", "--no-pager", "--quiet", "--output=cat", *chosen]
            return (line.encode() for line in stream(journal)), False
        case _:
            raise GenesisError(
                f"{name} keeps no audit record", hint="set monitoring.logs.audit to journal or file"
            )


def _rotated(newest: Path) -> tuple[Path, ...]:
    """What logrotate made of it, oldest first: audit.jsonl.2, audit.jsonl.1."""
    numbered = {
        int(path.suffix[1:]): path
        for path in newest.parent.glob(f"{newest.name}.*")
        if path.suffix[1:].isdecimal()
    }
    return tuple(numbered[number] for number in sorted(numbered, reverse=True))


def _document(report: Report) -> dict[str, Any]:
    head, broken = report.head, report.broken
    return {
        "records": report.records,
        "requests": report.requests,
        "lost": report.lost,
        "broken": None if broken is None else {"line": broken.line, "reason": broken.reason},
        "head": None if head is None else {"hash": head.hash, "time": head.time, "kind": head.kind},
        "notes": list(report.notes),
    }


def _tell(report: Report) -> None:
    for note in report.notes:
        click.echo(f"note: {note}")
    if report.lost:
        click.echo(f"note: {report.lost} records were lost while they could not be written")
    if report.broken is not None:
        where = f"line {report.broken.line}: " if report.broken.line else ""
        show(click.style("broken: ", fg="red") + where + report.broken.reason)
        return
    click.echo(f"{report.records} records of {report.requests} requests, unbroken")
    if report.head is not None:
        click.echo(f"head: {report.head.hash} ({report.head.kind}, {report.head.time})")
