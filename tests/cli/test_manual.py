"""Help that shows how, and options that mean the same wherever they are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from genesis_stack.cli.main import VERBS, genesis_stack
from genesis_stack.cli.manual import MANUALS

NO_DATA = {
    "schema": "is data itself",
    "logs": "are lines of JSON in a pipe",
    "chat": "has it for one question",
    "agent": "tells a story; its status has it",
    "exporter": "serves",
    "dashboard": "serves",
    "completion": "is a script",
}
"""Verbs without --json, or not for all of what they print."""
SHARED = ("--json", "--root", "--backend", "--lock-timeout", "--ssh-config", "--sudo")


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A verb and those below it."""
    yield name, command
    if isinstance(command, click.Group):
        for below, sub in command.commands.items():
            yield from walk(f"{name} {below}", sub)


def verbs() -> dict[str, click.Command]:
    """Every verb with its command."""
    top = click.Context(genesis_stack)
    found = ((verb, genesis_stack.get_command(top, verb)) for verb in VERBS)
    return {name: one for verb, command in found if command is not None for name, one in walk(verb, command)}


def options(command: click.Command) -> dict[str, click.Option]:
    """Options by their long names."""
    found = (param for param in command.params if isinstance(param, click.Option))
    return {name: option for option in found for name in option.opts if name.startswith("--")}


def test_every_verb_has_examples_and_nothing_else_has() -> None:
    """Whoever asks for help sees a command line to start from."""
    assert MANUALS.keys() == verbs().keys()
    assert all(manual.examples for manual in MANUALS.values())


@pytest.mark.parametrize("verb", MANUALS)
def test_every_example_is_a_command_line_that_parses(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its verb, its options, its arguments; the files that it names are there."""
    monkeypatch.chdir(tmp_path)
    for line, _ in MANUALS[verb].examples:
        words = shlex.split(line.partition(" > ")[0])
        for word in words:
            if re.search(r"\.(yaml|json|plan|gguf)$", word) and not word.startswith("/"):
                Path(word).touch()
        assert " ".join(words).startswith(verb)
        command: click.Command | None = genesis_stack
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, line
        command.make_context(verb, words)


def test_every_option_says_what_it_does() -> None:
    """And a flag that several verbs have means the same in all of them."""
    shared: dict[str, set[str]] = {}
    for verb, command in verbs().items():
        for name, option in options(command).items():
            assert option.help, f"{verb} {name}"
            if name in SHARED:
                shared.setdefault(name, set()).add(f"{option.help} {option.type.name}")
    assert {name: said for name, said in shared.items() if len(said) > 1} == {}


def test_every_time_span_is_written_alike() -> None:
    """With a unit or as bare seconds, whichever verb it is for."""
    spans = {
        "--lock-timeout": "apply",
        "--interval": "status",
        "--within": "bench",
        "--overlap": "clients rotate",
    }
    for name, verb in spans.items():
        assert options(verbs()[verb])[name].type.name == "duration", name
    for verb, command in verbs().items():
        for name, option in options(command).items():
            assert "econds" not in (option.help or ""), f"{verb} {name}"


def test_every_default_is_shown() -> None:
    """Where there is one that is no flag's."""
    for verb, command in verbs().items():
        context = click.Context(command)
        for name, option in options(command).items():
            default = option.get_default(context)
            told = option.is_flag or option.show_default or not isinstance(default, str | int | float)
            assert told, f"{verb} {name}: {default}"


def test_who_takes_a_root_takes_a_backend() -> None:
    """Both say where the tree is."""
    for verb, command in verbs().items():
        assert ("--root" in options(command)) == ("--backend" in options(command)), verb


def test_whoever_prints_data_prints_it_for_programs_too() -> None:
    """Verbs that do not, say why."""
    lacking = {
        verb.split()[0]
        for verb, command in verbs().items()
        if not isinstance(command, click.Group) and "--json" not in options(command)
    }
    assert lacking - NO_DATA.keys() == set()


def test_an_example_is_in_the_help() -> None:
    """Formatted as it is typed."""
    command = verbs()["models gc"]
    text = command.get_help(click.Context(command, info_name="genesis-stack models gc"))
    assert "  genesis-stack models gc --dry-run\n" in text
    assert re.search(r"^ +75 +\S", text, re.MULTILINE), "what it ends with"


def test_a_misspelt_verb_is_told_the_nearest() -> None:
    """And nothing is guessed where none is near."""
    for word, near in (("statsu", True), ("xyzzy", False)):
        with pytest.raises(click.UsageError, match=word) as refused:
            genesis_stack.main([word], standalone_mode=False)
        assert any(f"'{verb}'" in refused.value.message for verb in VERBS) is near
        assert ("'status'" in refused.value.message) is near
