"""What can go wrong on the way to a host, and reports that keep what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from genesis_stack.verify.facts import NoSystemdError, NotRootError, read_facts
from genesis_stack.verify.html import to_html
from genesis_stack.verify.remote import Remote, UnreachableError
from genesis_stack.verify.report import Finding, Report, read_report, write_report
from genesis_stack.verify.sandbox import directives, program_of
from genesis_stack.verify.text import to_text


@dataclass
class Said:
    """What a command ended with."""

    rc: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Line:
    """A connection on which every command ends the same."""

    answer: Callable[[], Said]

    def run(self, command: str, *args: str) -> Said:  # noqa: ARG002 -- testinfra's signature
        """Say it."""
        return self.answer()


def lost() -> Said:
    """As testinfra tells that ssh ended with 255."""
    raise RuntimeError(Said(255, "", "ssh: connect to host gone port 22: No route to host"))


def test_a_lost_connection_is_an_error_with_a_reason() -> None:
    """Nothing is taken for a finding that was not read."""
    with pytest.raises(UnreachableError, match="No route to host"):
        read_facts(Remote(Line(lost)), "/state", ["a"], [])


def test_who_is_not_root_is_told_what_to_do() -> None:
    """A user sees too little to judge."""
    line = Line(lambda: Said(stdout="\n\x1euid\n1000\n"))
    with pytest.raises(NotRootError) as caught:
        read_facts(Remote(line), "/state", ["a"], [])
    assert "--sudo" in str(caught.value.hint)


def test_a_host_without_systemd_is_an_error_with_a_way_out() -> None:
    """Nothing confines a server of the embedded backend: there is nothing to hold or to violate."""
    with pytest.raises(NoSystemdError) as caught:
        read_facts(Remote(Line(lambda: Said(stdout="\n\x1euid\n0\n"))), "/state", ["a"], [])
    assert "doctor" in str(caught.value.hint)


def test_a_host_that_shows_nothing_has_nothing() -> None:
    """Every question that went unanswered is an empty fact, not a crash."""
    said = Said(stdout="\n\x1euid\n0\n\n\x1ebooted\n/run/systemd/system\n")
    facts = read_facts(Remote(Line(lambda: said)), "/state", ["a"], ["/w"])
    assert facts.generation is None
    assert facts.processes == {}
    assert facts.model_files["/w"].size is None
    assert not facts.container


def test_all_fragments_of_a_unit_count() -> None:
    """As systemd reads them: those of drop-ins after the unit's own, and of [Service] alone."""
    text = (
        "# /etc/systemd/system/a.service\n[Unit]\nDescription=a\n[Service]\n#Type=no\nType=notify\n"
        "ExecStart=/opt/my%%20venv/bin/genesis-serve --config x\n\n"
        "# /etc/systemd/system/a.service.d/b.conf\n[Service]\nPrivateNetwork=no\n"
    )
    assert dict(directives(text)) == {
        "Type": "notify",
        "ExecStart": "/opt/my%%20venv/bin/genesis-serve --config x",
        "PrivateNetwork": "no",
    }
    assert str(program_of(text)) == "/opt/my%20venv/bin/genesis-serve"


def report(*outcomes: str) -> Report:
    """A report with findings that ended so."""
    findings = [
        Finding("Promise", f"check_{at}", "It holds", "host", "m", outcome, "why", (("read", "<b>&"),))  # type: ignore[arg-type]
        for at, outcome in enumerate(outcomes)
    ]
    return Report("stack", 0.0, 1.5, {"host": {"os": "<Debian>"}}, findings)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        (["holds"], True),
        (["holds", "not checked"], True),
        (["holds", "violated"], False),
        (["not checked"], False),
        ([], False),
    ],
)
def test_what_was_not_checked_never_counts_as_passed(outcomes: list[str], kept: bool) -> None:
    """A run in which nothing was checked proves nothing."""
    assert report(*outcomes).kept is kept


def test_a_saved_report_is_the_same(tmp_path: Path) -> None:
    """Nothing that was found gets lost between the checks and their reader."""
    found = report("holds", "violated", "not checked")
    write_report(found, tmp_path / "report.json")
    read = read_report(tmp_path / "report.json")
    assert read.as_json() == found.as_json() | {"findings": read.as_json()["findings"]}
    assert [one.outcome for one in read.findings] == ["holds", "violated", "not checked"]
    assert read.findings[0].evidence == (("read", "<b>&"),)


def test_the_page_escapes_what_was_read() -> None:
    """A host cannot put markup into the auditor's browser."""
    page = to_html(report("violated"))
    assert "<b>&<" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "&lt;Debian&gt;" in page


def test_the_summary_tells_what_is_violated_and_what_was_left_out() -> None:
    """With the reason of each, grouped by promise."""
    text = click.unstyle(to_text(report("holds", "violated", "not checked")))
    assert "Promise: VIOLATED (1 of 3)" in text
    assert "m: It holds: why" in text
    assert "not checked: m: It holds (why)" in text
    assert "1 holds, 1 violated, 1 not checked" in text
