"""The verbs of the agent that an operator types."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genesis_stack.cli.agent import agent
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops.record import Record, Trouble, read_record, read_suspension, write_record
from genesis_stack.layout import Layout

SEEN = "3f9ac0d2b1e4" + "0" * 28


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A host whose agent has refused what the branch holds."""
    layout = Layout.under(tmp_path)
    trouble = Trouble(kind="refused", revision=SEEN, reason="was moved", exit_code=77, since=1.0)
    write_record(layout, Record(applied="a" * 40, generation=3, seen=SEEN, fetched=1.0, trouble=trouble))
    return layout


def typed(layout: Layout, *words: str) -> Result:
    """Run a verb on this host."""
    command = [*words, "--root", str(layout.root), "--backend", "embedded"]
    return CliRunner().invoke(agent, command)


def test_status_says_what_stands_between_branch_and_host(layout: Layout) -> None:
    """For people and for programs."""
    shown = typed(layout, "status").output
    assert re.search(r"in force\s+aaaa", shown)
    assert "refused: was moved" in shown
    data = json.loads(typed(layout, "status", "--json").output)
    assert (data["schema_version"], data["seen"], data["suspended"]) == (1, SEEN, None)


def test_a_suspension_needs_a_reason_and_ends_with_resume(layout: Layout) -> None:
    """What was in quarantine gets another chance."""
    assert typed(layout, "suspend").exit_code != 0
    assert typed(layout, "suspend", "--reason", "its disk").exit_code == 0
    suspension = read_suspension(layout)
    assert suspension is not None
    assert suspension.reason == "its disk"
    assert re.search(r"suspended\s+its disk", typed(layout, "status").output)
    assert typed(layout, "resume").exit_code == 0
    assert read_suspension(layout) is None
    assert read_record(layout).trouble is None


def test_only_what_the_branch_holds_can_be_adopted(layout: Layout) -> None:
    """By a name that is long enough to mean one."""
    for wrong in ("3f9", "b" * 40):
        failed = typed(layout, "resume", "--adopt", wrong).exception
        assert isinstance(failed, GenesisError)
        assert failed.exit_code == ExitCode.USAGE
    assert typed(layout, "resume", "--adopt", SEEN[:12]).exit_code == 0
    assert read_record(layout).adopted == SEEN
