"""The recipes for CI are what they say: YAML of their kind, with commands and options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from genesis_stack.cli.main import VERBS, genesis_stack

RECIPES: Final = Path(__file__).parents[2] / "examples/ci"
CALL: Final = re.compile(r"\bgenesis-stack ([a-z]+(?: [^|>;&\n]*)?)")


def read(name: str) -> dict[str, Any]:
    """A recipe."""
    content = yaml.safe_load((RECIPES / name).read_text())
    assert isinstance(content, dict)
    return content


def scripts(name: str) -> Iterator[str]:
    """Every shell script of a recipe."""
    recipe = read(name)
    if name.startswith("github"):
        for job in recipe["jobs"].values():
            yield from (step["run"] for step in job["steps"] if "run" in step)
        return
    for job in recipe.values():
        if isinstance(job, dict) and "script" in job:
            for line in (*job.get("before_script", ()), *job["script"]):
                yield from line if isinstance(line, list) else [line]


def calls(name: str) -> list[list[str]]:
    """Every call of genesis-stack: the verb and its words."""
    found = (call for script in scripts(name) for call in CALL.findall(script))
    return [words for call in found if (words := shlex.split(call))[0] != "plan\\n"]


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_its_commands_exist(name: str) -> None:
    """Each verb, and each option of it."""
    asked = calls(name)
    assert {words[0] for words in asked} >= {"validate", "render", "plan", "verify", "load"}
    for verb, *words in asked:
        assert verb in VERBS
        command = genesis_stack.get_command(click.Context(genesis_stack), verb)
        assert command is not None
        command.make_context(verb, list(words))


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_it_does_all_of_the_job(name: str) -> None:
    """Validate, render --check, a plan as a comment, verify over SSH with reports, a load test."""
    text = "\n".join(scripts(name))
    assert "render stack.yaml --check" in text
    assert "plan.md" in text
    assert '--host "ssh://' in text
    assert {"--junit", "--html"} <= set(shlex.split(text.replace("'", "")))
    assert "--profile smoke" in text


def test_no_secret_is_written_into_a_command() -> None:
    """Secrets come from the environment, never through an expression in a script."""
    for script in scripts("github-actions.yml"):
        assert "${{" not in script
