"""`genesis-stack schema`: the JSON Schema of stack.yaml, for editors and other tools."""

from __future__ import annotations

import click


@click.command(name="schema")
@click.option("--reference", is_flag=True, help="Print the reference page (Markdown) instead.")
def schema(*, reference: bool) -> None:
    """Print the JSON Schema (draft 2020-12) of stack.yaml.

    Editors that read `# yaml-language-server: $schema=FILE` in the first line of a stack complete its keys
    and check it as you type.
    """
    from genesis_stack.spec.reference import stack_reference
    from genesis_stack.spec.schema import schema_text

    click.echo(stack_reference() if reference else schema_text(), nl=False)
