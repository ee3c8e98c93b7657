"""`genesis-stack verify`: does a host hold what the stack promises?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.completion import hosts
from genesis_stack.cli.host import AS_JSON, STACK, say, ssh_options
from genesis_stack.errors import ExitCode, GenesisError

if TYPE_CHECKING:
    from genesis_stack.verify.report import Report
    from genesis_stack.verify.run import Run


@click.command()
@STACK
@click.option(
    "--host",
    help="A name in `hosts` of the stack, or ssh://, docker://, ansible://…; here.",
    shell_complete=hosts,
)
@click.option("--all", "everywhere", is_flag=True, help="Every host of the stack, at the same time.")
@ssh_options
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a report with all evidence.")
@click.option("--test-alert", is_flag=True, help="Send a test alert through to the receivers.")
@AS_JSON
def verify(
    *,
    stack: Path,
    host: str | None,
    everywhere: bool,
    sudo: bool,
    ssh_config: Path | None,
    junit: Path | None,
    html: Path | None,
    test_alert: bool,
    as_json: bool,
) -> int:
    """Check that a host holds what STACK promises; changes nothing. Ends with 6 when it does not."""
    from genesis_stack.verify.html import to_html
    from genesis_stack.verify.run import Run, run_checks
    from genesis_stack.verify.text import to_text

    if everywhere and host is not None:
        raise click.UsageError("--all and --host exclude each other")
    run = Run(stack, host, sudo=sudo, ssh_config=ssh_config, junit=junit, test_alert=test_alert)
    say(f"verifying {'every host' if everywhere else host or 'this machine'}")
    report, away = _everywhere(run) if everywhere else (run_checks(run), {})
    if html is not None:
        html.write_text(to_html(report), encoding="utf-8")
    data = report.as_json() | ({"away": away} if everywhere else {})
    click.echo(json.dumps(data, indent=2) if as_json else to_text(report))
    for name, reason in away.items():
        say(f"{name}: not verified: {reason}")
    if not report.kept:
        return ExitCode.VIOLATED
    return ExitCode.FAILED if away else ExitCode.OK


def _everywhere(run: Run) -> tuple[Report, dict[str, str]]:
    """The report of all hosts that could be asked, and why the others could not.

    Raises:
        GenesisError: none could.
    """
    from genesis_stack.fleet.member import Member, each, members
    from genesis_stack.modelstore.host import read_host
    from genesis_stack.spec.load import load
    from genesis_stack.verify.report import together
    from genesis_stack.verify.run import run_checks

    def check(one: Member) -> Report:
        junit = run.junit and run.junit.with_stem(f"{run.junit.stem}-{one.name}")
        return run_checks(replace(run, host=None if one.here else one.name, junit=junit))

    asked = members(load(run.stack), read_host())
    answers = {one.name: answer for one, answer in zip(asked, each(asked, check), strict=True)}
    reports = {name: answer for name, answer in answers.items() if not isinstance(answer, GenesisError)}
    away = {name: str(answer) for name, answer in answers.items() if isinstance(answer, GenesisError)}
    if not reports:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in away.items())
        raise GenesisError(f"no host can be asked{reasons}")
    return together(reports), away
