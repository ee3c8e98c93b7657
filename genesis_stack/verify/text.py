"""The summary of a verification for a terminal: promises, what violates them, what was not checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from genesis_stack.verify.report import Finding, Report


def to_text(report: Report) -> str:
    """One line a promise, one below it for each check that does not hold."""
    return "\n".join([*_promises(report), "", _total(report)])


def _promises(report: Report) -> Iterator[str]:
    several = len(report.machines) > 1
    for promise, findings in report.promises():
        held = [one for one in findings if one.outcome == "holds"]
        violated = [one for one in findings if one.outcome == "violated"]
        skipped = [one for one in findings if one.outcome == "not checked"]
        mark = click.style("VIOLATED", fg="red") if violated else click.style("holds", fg="green")
        if not held and not violated:
            mark = "not checked"
        yield f"{promise}: {mark} ({len(held)} of {len(findings)})"
        for one in violated:
            yield f"  {click.style('x', fg='red')} {_about(one, several=several)}: {one.reason}"
        yield from (f"  - not checked: {line}" for line in _together(skipped))


def _about(one: Finding, *, several: bool) -> str:
    return f"{one.host}: {one.about}" if several else one.about


def _together(skipped: Sequence[Finding]) -> Iterator[str]:
    """Checks that were left out for the same reason, on one line."""
    reasons = dict.fromkeys(one.reason for one in skipped)
    for reason in reasons:
        same = [one.about for one in skipped if one.reason == reason]
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        yield f"{same[0]}{more} ({reason})"


def _total(report: Report) -> str:
    verdict = "the host holds what the stack promises" if report.kept else "the host does not hold the stack"
    counts = ", ".join(
        f"{report.count(outcome)} {outcome}" for outcome in ("holds", "violated", "not checked")
    )
    return f"{verdict}: {counts} in {report.seconds:.1f} s"
