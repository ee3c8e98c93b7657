"""`genesis-stack render`: keep the rendered units beside the stack, for reviews."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.host import AS_JSON, STACK
from genesis_stack.errors import ExitCode

if TYPE_CHECKING:
    from genesis_stack.render.committed import Difference


@click.command("render")
@STACK
@click.option("--check", is_flag=True, help="Write nothing; exit 2 and show a diff if anything would change.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to; units/ beside the stack if it is not given.",
)
@AS_JSON
def render(*, stack: Path, check: bool, output: Path | None, as_json: bool) -> int:
    """Write the systemd units and configs that STACK (stack.yaml) renders to, and beside them alerts/.

    They are what `apply` installs on a host where genesis-stack stands in /opt/genesis-stack/venv.
    """
    from genesis_stack.layout import Layout
    from genesis_stack.render import INSTALLED, as_declared, systemd
    from genesis_stack.render.committed import apart, compare, settle
    from genesis_stack.spec.load import load

    loaded, layout = load(stack), Layout.system()
    files = systemd.render(loaded, as_declared(loaded, layout), layout, INSTALLED)
    units, alerts = apart(files, loaded, layout)
    directory = output or stack.parent / "units"
    watching = output / "alerts" if output else stack.parent / "alerts"
    changes = {directory: compare(directory, units, layout), watching: compare(watching, alerts, layout)}
    for place, differences in changes.items():
        if not check:
            settle(place, differences)
        if not as_json:
            _tell(place, differences, check=check)
    if as_json:
        click.echo(json.dumps(_data(directory, changes), indent=2))
    return ExitCode.CHANGES if check and any(changes.values()) else ExitCode.OK


def _data(directory: Path, changes: Mapping[Path, Sequence[Difference]]) -> dict[str, object]:
    listed = [
        {"directory": str(place), "path": str(change.path), "action": change.action}
        for place, differences in changes.items()
        for change in differences
    ]
    return {"schema_version": 1, "directory": str(directory), "changes": listed}


def _tell(directory: Path, differences: Sequence[Difference], *, check: bool) -> None:
    if check:
        click.echo("".join(change.diff() for change in differences), nl=False)
    for change in differences:
        click.echo(f"{'would ' if check else ''}{change.action} {directory / change.path}", err=True)
    if not differences:
        click.echo(f"{directory} is what the stack renders", err=True)
    elif check:
        click.echo("run `genesis-stack render` and commit the result", err=True)
