"""`genesis-stack bench`: what this machine can serve, and with which settings."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click
from click.core import ParameterSource

from genesis_stack.cli.duration import duration
from genesis_stack.cli.host import AS_JSON, STACK, host_options, say
from genesis_stack.errors import ExitCode, GenesisError

if TYPE_CHECKING:
    from genesis_stack.capacity.findings import Findings
    from genesis_stack.layout import Layout
    from genesis_stack.spec.model import Stack

SHAPE_NAMES: Final = ("llama-3.1-8b", "qwen3-vl-4b")
"""What `capacity.synthetic` can write; a test holds them equal, for importing it takes long."""

QUICK_SECONDS: Final = 90.0


@click.command()
@STACK
@click.option("--model", help="Which model of the stack; may be left out where it is clear.")
@click.option(
    "--synthetic",
    type=click.Choice(SHAPE_NAMES),
    help="Use random weights of this shape instead of the model's own.",
)
@click.option("--within", type=duration, default="6m", show_default=True, help="How long, about.")
@click.option("--quick", is_flag=True, help="The same as --within 90s.")
@click.option(
    "--patch",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the better settings as a patch of STACK; - prints it, and nothing else.",
)
@click.option("--keep/--remove", default=None, help="What happens to the file of random weights afterwards.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where it is written; by default beside the model store.",
)
@AS_JSON
@host_options
def bench(
    *,
    stack: Path,
    model: str | None,
    synthetic: str | None,
    within: float,
    quick: bool,
    patch: Path | None,
    keep: bool | None,
    folder: Path | None,
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> int:
    """Measure what this machine can serve of one model of STACK, and find the best settings for it.

    Ends with 6 when not even one user gets what the stack promises. Nothing that is applied is touched; for
    true figures nothing else should run meanwhile.
    """
    from genesis_stack.capacity.patch import patch as patch_of
    from genesis_stack.capacity.report import as_json as data_of
    from genesis_stack.capacity.report import as_page
    from genesis_stack.settings import load_settings
    from genesis_stack.spec.load import load

    if synthetic is None and (keep is not None or folder is not None):
        raise click.UsageError("--keep, --remove and --folder are for random weights: add --synthetic")
    if quick and click.get_current_context().get_parameter_source("within") is not ParameterSource.DEFAULT:
        raise click.UsageError("--quick and --within both say how long: leave out one of them")
    printed = patch == Path("-")
    if printed and as_json:
        what = "--json and --patch - both want stdout"
        raise GenesisError(what, hint="the JSON holds the patch as well", exit_code=ExitCode.USAGE)
    signal.signal(signal.SIGTERM, _interrupt)
    layout = load_settings(root=root, backend=backend).layout
    declared = load(stack)
    files = SyntheticFile(synthetic, folder or layout.state / "synthetic", keep)
    found = _measured(declared, model, layout, files, QUICK_SECONDS if quick else within)
    if not as_json:
        click.echo(as_page(found), err=printed)
    diff = patch_of(stack, declared, found.subject.name, found.tuned.changes)
    if as_json:
        click.echo(json.dumps(data_of(found, diff), indent=2))
    if printed:
        click.echo(diff, nl=False)
    elif patch is not None:
        patch.write_text(diff, encoding="utf-8")
        say(f"{patch}: " + ("apply it with `git apply` or `patch -p1`" if diff else "nothing to change"))
    return ExitCode.OK if found.users else ExitCode.VIOLATED


@dataclass(frozen=True, slots=True)
class SyntheticFile:
    """Random weights in place of the model's own: their shape if wanted, their folder, whether to keep."""

    shape: str | None
    folder: Path
    keep: bool | None


def _measured(
    stack: Stack, wanted: str | None, layout: Layout, files: SyntheticFile, seconds: float
) -> Findings:
    from genesis_stack.capacity.measuring import measure
    from genesis_stack.capacity.subject import choose, stand_in, stored
    from genesis_stack.capacity.synthetic import SHAPES
    from genesis_stack.loadtest.run import check_locust

    check_locust()
    name = choose(stack, wanted, files.shape)
    model = stack.models[name]
    if files.shape is None:
        return measure(stored(name, model, layout), seconds=seconds, say=say)
    with stand_in(name, model, SHAPES[files.shape], files.folder, keep=files.keep) as subject:
        return measure(subject, seconds=seconds, say=say)


def _interrupt(*_: object) -> NoReturn:
    """End as after Ctrl-C, so that no server and no file stays behind."""
    raise KeyboardInterrupt
