"""`genesis-stack schema`: the JSON Schema of stack.yaml, for editors and other tools."""

from __future__ import annotations

import click


@click.command(name="schema")
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of stack.yaml.

    Editors that read `# yaml-language-server: $schema=FILE` in the first line of a stack complete its keys
    and check it as you type.
    """
    from genesis_stack.spec.schema import schema_text

    click.echo(schema_text(), nl=False)
