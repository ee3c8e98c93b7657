"""`genesis-stack verify`: does a host hold what the stack promises?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from genesis_stack.cli.host import AS_JSON, STACK, say
from genesis_stack.errors import ExitCode


@click.command()
@STACK
@click.option("--host", help="A name in `hosts` of the stack, or ssh://, docker://, ansible://…; here.")
@click.option("--sudo", is_flag=True, help="Become root on the host with sudo.")
@click.option("--ssh-config", type=click.Path(path_type=Path), help="Configuration file for ssh.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a report with all evidence.")
@click.option("--test-alert", is_flag=True, help="Send a test alert through to the receivers.")
@AS_JSON
def verify(
    *,
    stack: Path,
    host: str | None,
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

    run = Run(stack, host, sudo=sudo, ssh_config=ssh_config, junit=junit, test_alert=test_alert)
    say(f"verifying {host or 'this machine'}")
    report = run_checks(run)
    if html is not None:
        html.write_text(to_html(report), encoding="utf-8")
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else to_text(report))
    return ExitCode.OK if report.kept else ExitCode.VIOLATED
