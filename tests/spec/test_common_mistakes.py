"""Ten ways to edit the reference stack wrongly: each message names the line and the fix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from genesis_stack.cli.validate import validate
from genesis_stack.errors import ExitCode
from genesis_stack.spec.problems import InvalidStackError
from spec.stacks import ROOT

REFERENCE = (ROOT / "stack.yaml").read_text()


@dataclass(frozen=True)
class Mistake:
    """`right` in the reference stack is written as `wrong`; the message is about the line with `mark`."""

    right: str
    wrong: str
    mark: str
    fix: str


MISTAKES = {
    "a misspelt key": Mistake("    port: 8000", "    prot: 8000", "prot: 8000", "did you mean port?"),
    "a tab": Mistake("    port: 8001", "\tport: 8001", "\tport: 8001", "use spaces"),
    "a size without its unit": Mistake("memory: 8GiB", "memory: 8G", "memory: 8G", "8GiB"),
    "a number in quotes": Mistake("port: 8000", 'port: "8000"', 'port: "8000"', "remove the quotes"),
    "a port twice": Mistake("port: 8001", "port: 8000 # too", "# too", "port 8001 is free"),
    "a value of another choice": Mistake("task: text", "task: txt", "task: txt", "did you mean text?"),
    "a model that is not declared": Mistake(
        "models: [llama-3-1-8b, ", "models: [llama-3-8b, ", "[llama-3-8b", "did you mean llama-3-1-8b?"
    ),
    "open to the network without clients": Mistake(
        "listen: 127.0.0.1", "listen: 0.0.0.0", "listen: 0.0.0.0", "under clients, or listen on 127.0.0.1"
    ),
    "a digest forgotten": Mistake(
        "      sha256: c2f17f44af962660d1ad4cb1af91a731f219f3b326c2b14441f9df1f347f2815\n",
        "",
        "    weights:",
        "What the file must hash to",
    ),
    "a budget below its sum": Mistake("memory: 8GiB", "memory: 6GiB", "memory: 6GiB", "lower engine.context"),
}


def edited(mistake: Mistake) -> str:
    """The reference stack with the mistake in it, where it occurs first; a wrong `listen` has no clients."""
    assert mistake.right in REFERENCE
    text = REFERENCE.replace(mistake.right, mistake.wrong, 1)
    if "listen" in mistake.wrong:
        before, _, after = text.partition("clients:\n")
        text = before + after.partition("    guard: flag")[2].partition("\n")[2]
        text = text.replace(", client: orchestrator", "").replace("    client: orchestrator\n", "")
    return text


@pytest.mark.parametrize("name", MISTAKES)
def test_a_common_mistake_is_told_with_its_line_and_its_fix(name: str, tmp_path: Path) -> None:
    """`validate` refuses the file with 78, points to the line that was edited, and says what to write."""
    mistake, path = MISTAKES[name], tmp_path / "stack.yaml"
    path.write_text(edited(mistake))
    lines = path.read_text().splitlines()
    number = next(index for index, line in enumerate(lines, 1) if mistake.mark in line)
    words = [str(path), "--no-host", "--root", str(tmp_path)]
    done = CliRunner().invoke(validate, words, standalone_mode=False)
    assert isinstance(done.exception, InvalidStackError)
    assert done.exception.exit_code is ExitCode.INVALID_CONFIG
    told = [problem for problem in done.exception.problems if problem.line == number]
    assert any(mistake.fix in str(problem) for problem in told), str(done.exception)
