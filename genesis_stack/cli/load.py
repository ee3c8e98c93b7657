"""`genesis-stack load`: put load on a stack's servers, and see whether its promises hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.completion import profiles
from genesis_stack.cli.host import AS_JSON, STACK, say
from genesis_stack.errors import ExitCode

if TYPE_CHECKING:
    from genesis_stack.loadtest.record import Record
    from genesis_stack.loadtest.setting import Setting
    from genesis_stack.loadtest.verdict import Verdict


@click.command()
@STACK
@click.option(
    "--profile",
    default="smoke",
    show_default=True,
    help="A name in `load` of the stack.",
    shell_complete=profiles,
)
@click.option("--baseline", type=click.Path(path_type=Path), help="A stored run; worse than it fails.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write FILE.html, and .json and .md beside it."
)
@AS_JSON
def load(*, stack: Path, profile: str, baseline: Path | None, report: Path | None, as_json: bool) -> int:
    """Put the load of a profile on the servers of STACK; ends with 6 when a promise does not hold.

    The key of the profile's client comes from GENESIS_LLM_API_KEY_FILE or GENESIS_LLM_HMAC_SECRET_FILE.
    """
    from genesis_stack.loadtest.record import read_record
    from genesis_stack.loadtest.report import write_report
    from genesis_stack.loadtest.setting import read_setting
    from genesis_stack.loadtest.verdict import as_text

    setting = read_setting(stack, profile)
    stored = None if baseline is None else read_record(baseline)
    found = run_and_judge(stack, setting, stored)
    if report is not None:
        write_report(found, setting, report)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        tables = [found.check_rows(), *([found.change_rows()] if found.changes else [])]
        click.echo("\n\n".join(as_text(table) for table in tables))
    return ExitCode.OK if found.passed else ExitCode.VIOLATED


def run_and_judge(stack: Path, setting: Setting, stored: Record | None = None) -> Verdict:
    """Run a profile, told on stderr, and judge it."""
    from genesis_stack.loadtest.run import run_load
    from genesis_stack.loadtest.verdict import verdict

    say(f"{setting.name}: load on {', '.join(setting.models)} for {setting.duration:.0f} s")
    return verdict(run_load(stack, setting), setting, stored)
