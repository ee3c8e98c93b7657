"""No page names a verb or an option that is not there, and no block is left out without a reason."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from docs.pages import PAGES, ROOT, Block, blocks
from genesis_stack.cli.main import genesis_stack

SHELL = blocks("sh")
CALL = re.compile(r"(?:^|[;&|(]\s*|\bsudo |['\"] ?)(?:[^\s'\"]*/)?genesis-stack (?=\S)([^|;&>)]*)")
"""A call of it, with or without a path, as the command of a line or of a part of one."""
INLINE = [
    (page, line, found)
    for page in PAGES
    for line, text in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    for found in re.findall(r"`(?:sudo )?(genesis-stack [a-z][^`]*)`", text)
]


def invocations(block: Block) -> list[list[str]]:
    """Words of each `genesis-stack` call of a block, pipes, redirections and substitutions cut off."""
    calls = (call for line in block.commands for call in CALL.findall(line))
    return [shlex.split(call.replace("'", " ").replace('"', " ")) for call in calls]


def check(words: list[str], command: click.Command = genesis_stack, path: str = "genesis-stack") -> None:
    """Follow the words down the verbs and look up every option.

    Raises:
        LookupError: there is no such verb or option.
    """
    context = click.Context(command)
    if isinstance(command, click.Group) and (verbs := [w for w in words if not w.startswith("-")]):
        below = command.get_command(context, verbs[0].rstrip(",.:"))
        if below is None:
            raise LookupError(f"{path} has no verb {verbs[0]!r}")
        rest = words[words.index(verbs[0]) + 1 :]
        check(rest, below, f"{path} {verbs[0]}")
        words = words[: words.index(verbs[0])]
    known = {
        name for option in command.get_params(context) for name in (*option.opts, *option.secondary_opts)
    }
    for word in words:
        name = word.partition("=")[0].rstrip(",.:…")
        if name.startswith("-") and name not in known | {"-h", "--help"} and not re.fullmatch(r"-n\d+", name):
            raise LookupError(f"{path} has no option {name}")


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_every_call_of_a_block_names_verbs_and_options_that_exist(block: Block) -> None:
    """Also in blocks that are not run."""
    for words in invocations(block):
        check(words)


def test_so_does_every_call_within_a_text() -> None:
    """In the prose of all pages."""
    wrong = []
    for page, line, text in INLINE:
        try:
            words = shlex.split(re.split(r"[|;&>]", text)[0])[1:]
            first = words[0].split("|")[0] if words else ""
            check([first, *words[1:]])
        except (LookupError, ValueError) as error:
            wrong.append(f"{page.relative_to(ROOT)}:{line}: {text}: {error}")
    assert wrong == []


LOOKS_AT_A_TREE = (
    "plan|apply|status|dashboard|cost|drift|doctor|history|diff|rollback|agent|clients|exporter|audit|logs|chat|"
    "down|destroy"
)
WITHOUT_SUDO = re.compile(rf"(?<!\w)(?<!sudo )genesis-stack (?:{LOOKS_AT_A_TREE})\b(?!.* --(?:host|stack) )")
"""A call that is about the tree of whoever makes it; another host's is its own."""


@pytest.mark.parametrize("page", sorted({block.page for block in SHELL}), ids=lambda page: page.stem)
def test_what_sudo_applies_is_looked_at_with_sudo(page: Path) -> None:
    """Without it, it is the reader's own tree, which is empty; blocks are run as root and cannot tell."""
    lines = [line for block in SHELL if block.page == page for line in block.commands]
    if any("sudo genesis-stack" in line for line in lines):
        assert [line for line in lines if WITHOUT_SUDO.search(line) and "sudo sh " not in line] == []


def test_what_does_not_exist_is_found() -> None:
    """The check itself: a verb, a verb below a verb, an option."""
    for words in (["applyy"], ["clients", "addd"], ["apply", "--forse"], ["models", "list", "--long"]):
        with pytest.raises(LookupError):
            check(words)


@pytest.mark.parametrize("block", blocks("sh", "python", "yaml"), ids=lambda block: block.place)
def test_a_block_is_left_out_with_a_reason_only(block: Block) -> None:
    """And what another test runs is run by a test that exists."""
    assert block.how in {"run", "host", "skip", "elsewhere"}
    if block.how in {"host", "skip"}:
        assert len(block.what) > len("no")
    if block.how == "elsewhere":
        file, _, name = block.what.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {
            n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }


def test_every_shell_block_is_one_that_is_run() -> None:
    """Under another name of the language it would escape."""
    assert [block.place for block in blocks("bash", "shell", "console", "zsh", "py", "python3")] == []
