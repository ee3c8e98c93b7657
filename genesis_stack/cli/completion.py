"""`genesis-stack completion`: verbs, options and names on the TAB key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from genesis_stack.layout import Layout

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


def applied_programs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the models that are applied here, and of the programs that run beside them."""
    from genesis_stack.errors import GenesisError
    from genesis_stack.reconcile.generations import Generations

    try:
        generations = Generations(_layout(ctx))
        beside = generations.load(generations.current()).monitors
    except (GenesisError, OSError):  # what cannot be read has none to offer
        beside = {}
    names = [CompletionItem(name) for name in beside if name.startswith(incomplete)]
    return applied_models(ctx, param, incomplete) + names


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
    return _layout(ctx).current / "stack.yaml"


def _layout(ctx: click.Context) -> Layout:
    from genesis_stack.settings import load_settings

    return load_settings(root=ctx.params.get("root"), backend=ctx.params.get("backend")).layout


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
