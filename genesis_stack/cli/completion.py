"""`genesis-stack completion`: verbs, options and names on the TAB key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

PROGRAM = "genesis-stack"
VARIABLE = "_GENESIS_STACK_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print what makes SHELL complete verbs, options, and the names of models, profiles and hosts."""
    from click.shell_completion import get_completion_class

    from genesis_stack.cli.main import genesis_stack

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 -- click has all three
    click.echo(found(genesis_stack, {}, PROGRAM, VARIABLE).source())


def applied_models(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the models that are applied here."""
    return _names(_applied(ctx), "models", incomplete)


def declared_clients(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the clients of the stack that was given, else of the one applied here."""
    return _names(ctx.params.get("stack") or _applied(ctx), "clients", incomplete)


def profiles(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the load profiles of the stack."""
    return _names(_stack(ctx), "load", incomplete)


def hosts(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the hosts of the stack."""
    return _names(_stack(ctx), "hosts", incomplete)


def _applied(ctx: click.Context) -> Path:
    from genesis_stack.settings import load_settings

    settings = load_settings(root=ctx.params.get("root"), backend=ctx.params.get("backend"))
    return settings.layout.current / "stack.yaml"


def _stack(ctx: click.Context) -> Path:
    given: Any = ctx.params.get("stack")
    return Path(given or "stack.yaml")


def _names(path: Path, section: str, incomplete: str) -> list[CompletionItem]:
    """Keys of a section that begin as what was typed; a file that cannot be read has none to offer."""
    from genesis_stack.errors import GenesisError
    from genesis_stack.spec.document import parse
    from genesis_stack.spec.source import read

    try:
        content = parse(read(path)).content
    except GenesisError:
        return []
    found = content.get(section) if isinstance(content, dict) else None
    names = found if isinstance(found, dict) else {}
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
