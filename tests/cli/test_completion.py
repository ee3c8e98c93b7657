"""What the TAB key offers, asked for as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genesis_stack.backends import Desired, Monitor
from genesis_stack.layout import Layout
from genesis_stack.reconcile.generations import Generations

PROGRAM = (sys.executable, "-m", "genesis_stack.cli.main")
STACK = "clients: {app: {}}\nload: {smoke: {}, steady: {}}\nhosts: {berlin: {}}\nmodels: {a: {}}\n"


def offered(folder: Path, *words: str) -> list[str]:
    """The candidates for the last word, by the protocol of click's fish script: type, value, help."""
    environment = {
        **os.environ,
        "_GENESIS_STACK_COMPLETE": "fish_complete",
        "COMP_WORDS": " ".join(("genesis-stack", *words[:-1])),
        "COMP_CWORD": words[-1],
    }
    program = "import sys; sys.argv[0] = 'genesis-stack'; from genesis_stack.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_verbs_options_and_names_are_offered(tmp_path: Path) -> None:
    """From the table, from the verb, from the stack beside."""
    (tmp_path / "stack.yaml").write_text(STACK)
    applied = tmp_path / "var/lib/genesis-stack/current"
    applied.mkdir(parents=True)
    (applied / "stack.yaml").write_text("models: {llama: {}, qwen: {}}\n")
    assert any("status" in one for one in offered(tmp_path, "sta"))
    assert any("--watch" in one for one in offered(tmp_path, "status", "--w"))
    assert any("steady" in one for one in offered(tmp_path, "apply", "--gate", "st"))
    assert any("app" in one for one in offered(tmp_path, "clients", "add", "--stack", "stack.yaml", "a"))
    root = str(tmp_path)
    assert any("llama" in one for one in offered(tmp_path, "chat", "--root", root, "ll"))


def test_a_log_is_offered_of_what_runs_beside_the_models_too(tmp_path: Path) -> None:
    """By the names of the generation."""
    generations = Generations(Layout.under(tmp_path))
    beside = Monitor("front.gateway", host="", port=0, reload_on=(), restart_on=())
    stored = generations.add(Desired("s", "models: {llama: {}}\n", {}, {}, (), {beside.name: beside}))
    generations.set_current(stored)
    assert any("front.gateway" in one for one in offered(tmp_path, "logs", "--root", str(tmp_path), "fr"))
    assert any("llama" in one for one in offered(tmp_path, "logs", "--root", str(tmp_path), "ll"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """It names the program and the variable that asks it."""
    done = subprocess.run(
        [*PROGRAM, "completion", shell], capture_output=True, text=True, check=True, timeout=60
    )
    assert "_GENESIS_STACK_COMPLETE" in done.stdout
    assert "genesis-stack" in done.stdout
