"""`genesis-stack render`: keep the rendered units beside the stack, for reviews."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.errors import ExitCode

if TYPE_CHECKING:
    from genesis_stack.render.committed import Difference


@click.command("render")
@click.argument("stack", type=click.Path(path_type=Path), default="stack.yaml")
@click.option("--check", is_flag=True, help="Write nothing; exit 2 and show a diff if anything would change.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to; units/ beside the stack if it is not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what changed as JSON.")
def render(stack: Path, check: bool, output: Path | None, as_json: bool) -> int:
    """Write the systemd units and configs that STACK (stack.yaml) renders to.

    They are what `apply` installs on a host where genesis-stack stands in /opt/genesis-stack/venv.
    """
    from genesis_stack.layout import Layout
    from genesis_stack.render import INSTALLED, as_declared, systemd
    from genesis_stack.render.committed import compare, settle
    from genesis_stack.spec.load import load

    loaded, layout = load(stack), Layout.system()
    files = systemd.render(loaded, as_declared(loaded, layout), layout, INSTALLED)
    directory = output or stack.parent / "units"
    differences = compare(directory, files, layout)
    if not check:
        settle(directory, differences)
    if as_json:
        click.echo(json.dumps(_data(directory, differences), indent=2))
    else:
        _tell(directory, differences, check=check)
    return ExitCode.CHANGES if check and differences else ExitCode.OK


def _data(directory: Path, differences: Sequence[Difference]) -> dict[str, object]:
    changes = [{"path": str(change.path), "action": change.action} for change in differences]
    return {"schema_version": 1, "directory": str(directory), "changes": changes}


def _tell(directory: Path, differences: Sequence[Difference], *, check: bool) -> None:
    if check:
        click.echo("".join(change.diff() for change in differences), nl=False)
    for change in differences:
        click.echo(f"{'would ' if check else ''}{change.action} {directory / change.path}", err=True)
    if not differences:
        click.echo(f"{directory} is what the stack renders", err=True)
    elif check:
        click.echo("run `genesis-stack render` and commit the result", err=True)
