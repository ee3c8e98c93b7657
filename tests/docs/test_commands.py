"""Whoever types what the pages say gets what they say: every block is run on the README's stack."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from docs import python_blocks
from docs.machine import PATIENCE, Machine, settle
from docs.pages import PAGES, RUNBOOKS, Block, blocks

GUIDES = tuple(page for page in PAGES if not page.is_relative_to(RUNBOOKS))
SHELL = blocks("sh", pages=GUIDES)
PYTHON = [block for block in blocks("python", pages=GUIDES) if block.how == "run"]
RUNBOOK_LINES = sorted(
    {
        line
        for block in blocks("sh", pages=tuple(PAGES[1:]))
        if block.page.is_relative_to(RUNBOOKS) and block.how == "run"
        for line in block.commands
    }
)
NEEDS_AN_ERROR = 'status="5'
"""A series of its own that is there only once a request has failed."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Machine]:
    """One machine for all pages; each page finds the stack as it was at first."""
    found = settle(tmp_path_factory.mktemp("reader"), smollm2)
    yield found
    found.run(["genesis-stack", "destroy", "--yes"])


def pages(*how: str) -> list[list[Block]]:
    """What is run of each page, for those that have some of the last kind."""
    found = groupby((block for block in SHELL if block.how in how), key=lambda block: block.page)
    return [run for run in (list(of_page) for _, of_page in found) if any(b.how == how[-1] for b in run)]


@pytest.mark.model
@pytest.mark.parametrize("page", pages("run"), ids=lambda page: page[0].page.name)
def test_the_commands_of_a_page_work_in_their_order(page: list[Block], machine: Machine) -> None:
    """From its first to its last, as one reads it."""
    work_through(page, machine)


@pytest.mark.host
@pytest.mark.parametrize("page", pages("run", "host"), ids=lambda page: page[0].page.name)
def test_so_do_those_that_take_their_time(page: list[Block], machine: Machine) -> None:
    """With all that comes before them on their page."""
    work_through(page, machine)


def work_through(page: list[Block], machine: Machine) -> None:
    """Type block after block, beginning with the stack as it was at first."""
    machine.write_stack()
    for block in page:
        done = machine.shell(block.text)
        assert done.returncode == 0, f"{block.place}\n{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def failures(machine: Machine) -> dict[str, str]:
    """The Python of all pages, run in one process; from places to tracebacks."""
    told = [{"page": str(b.page), "place": b.place, "code": machine.here(b.text)} for b in PYTHON]
    done = subprocess.run(
        [sys.executable, python_blocks.__file__],
        input=json.dumps(told),
        cwd=machine.home,
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    outcome: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@pytest.mark.model
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_the_python_of_a_page_works(block: Block, failures: dict[str, str]) -> None:
    """Against the same server, in one namespace a page."""
    assert block.place not in failures, failures[block.place]


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.place)
def test_all_python_can_be_read(block: Block) -> None:
    """Also what is not run."""
    compile(block.text, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.model
@pytest.mark.parametrize("line", [one for one in RUNBOOK_LINES if re.match(r"curl .*:PORT/", one)])
def test_a_runbook_asks_for_series_that_exist(line: str, machine: Machine) -> None:
    """What it greps for is there."""
    done = machine.shell("set -o pipefail\n" + line)
    assert done.returncode == 0 or NEEDS_AN_ERROR in line, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.host
def test_the_verbs_of_the_runbooks_work(machine: Machine) -> None:
    """Each once, without what its output is piped into."""
    machine.write_stack()
    calls = {one.partition("|")[0].strip() for one in RUNBOOK_LINES if one.startswith("genesis-stack")}
    calls = {re.sub(r"^(genesis-stack logs) monitor.*", r"\1 MODEL", call) for call in calls}
    for call in sorted(calls):
        done = machine.shell(call)
        assert done.returncode == 0, f"{call}\n{done.stdout}\n{done.stderr}"
