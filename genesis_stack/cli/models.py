"""`genesis-stack models`: pull, verify, list, inspect, import and collect model files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.host import AS_JSON, STACK, host_options, lock_option, locked
from genesis_stack.errors import ExitCode, GenesisError

if TYPE_CHECKING:
    from genesis_stack.cli.model_rows import Row
    from genesis_stack.layout import Layout
    from genesis_stack.modelstore.facts import Facts
    from genesis_stack.spec.model import Model


@click.group()
def models() -> None:
    """Pull, verify, list, inspect, import and collect model files."""


def _layout(root: Path | None, backend: str | None) -> Layout:
    from genesis_stack.settings import load_settings

    return load_settings(root=root, backend=backend).layout


def _show(rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "files": [asdict(row) for row in rows]}, indent=2))
    else:
        for row in rows:
            click.echo(row.line())


def _declared(stack: Path | None) -> Mapping[str, Model]:
    """The models of a stack; without a path those of ./stack.yaml, where there is one."""
    from genesis_stack.spec.load import load

    here = Path("stack.yaml")
    if stack is None and not here.exists():
        return {}
    return load(stack or here).models


@models.command()
@STACK
@AS_JSON
@host_options
def pull(*, stack: Path, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Download and verify every file that STACK declares; what is there already costs nothing."""
    from genesis_stack.cli.model_rows import Pulled
    from genesis_stack.modelstore.modelfile import ensure
    from genesis_stack.modelstore.verdict import files_of
    from genesis_stack.spec.load import load

    layout = _layout(root, backend)
    rows = []
    for name, model in load(stack).models.items():
        for role, weights in files_of(model):
            file = ensure(weights, layout)
            rows.append(Pulled(name, role, file.digest, file.size, str(file.path)))
    _show(rows, as_json=as_json)


@models.command()
@click.option("--deep", is_flag=True, help="Hash every file, also those unchanged since the last time.")
@AS_JSON
@host_options
def verify(*, deep: bool, as_json: bool, root: Path | None, backend: str | None) -> int:
    """Check every file of the store; a damaged one goes into quarantine. Exit status 65 tells of one."""
    from genesis_stack.cli.model_rows import Checked
    from genesis_stack.modelstore.faults import ChecksumError
    from genesis_stack.modelstore.store import Store

    store = Store(_layout(root, backend).models)
    rows = []
    for digest in store.digests():
        hashed = deep or not store.verified(digest)
        damage = None
        if hashed:
            try:
                with store.writing(f"verifying {digest}"):
                    store.verify(digest, what=f"sha256 {digest}")
            except ChecksumError as error:
                damage = str(error)
        rows.append(Checked(digest, damage is None, hashed, damage))
    _show(rows, as_json=as_json)
    broken = [row.damage for row in rows if row.damage is not None]
    for damage in broken:
        click.echo(damage, err=True)
    return ExitCode.CHECKSUM if broken else ExitCode.OK


@models.command(name="list")
@AS_JSON
@host_options
def list_(*, as_json: bool, root: Path | None, backend: str | None) -> None:
    """List the files of the store and the generations that need them."""
    from genesis_stack.cli.model_rows import Listed
    from genesis_stack.modelstore.facts import load_cached
    from genesis_stack.modelstore.references import references
    from genesis_stack.modelstore.store import Store

    layout = _layout(root, backend)
    store, needed_by = Store(layout.models), references(layout)
    rows = []
    for digest in store.digests():
        facts = load_cached(store.facts(digest))
        rows.append(
            Listed(
                sha256=digest,
                size=store.path(digest).stat().st_size,
                verified=store.verified(digest),
                name=facts.name if facts else "",
                architecture=facts.architecture if facts else "",
                quantization=facts.quantization if facts else "",
                generations=tuple(needed_by.get(digest, [])),
            )
        )
    _show(rows, as_json=as_json)
    for path in store.leftovers():
        click.echo(f"also there: {path}", err=True)


@models.command()
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=0),
    help="First remove old generations: all but the one in force and N besides it, among which the one that "
    "`rollback` goes to comes first. By default none is removed.",
)
@click.option(
    "--stack", type=click.Path(path_type=Path), help="Also keep its files; by default those of ./stack.yaml."
)
@click.option("--dry-run", is_flag=True, help="Delete nothing, only tell.")
@lock_option
@AS_JSON
@host_options
def gc(
    *,
    keep: int | None,
    stack: Path | None,
    dry_run: bool,
    lock_timeout: float,
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> None:
    """Delete files that no generation and no stack needs, unfinished downloads, and the quarantine.

    Every generation keeps its model files for a rollback: those of older ones go with --keep.
    """
    from genesis_stack.cli.model_rows import Collected
    from genesis_stack.modelstore.quantity import show_size
    from genesis_stack.modelstore.references import references, unused
    from genesis_stack.modelstore.store import Store
    from genesis_stack.modelstore.verdict import files_of
    from genesis_stack.reconcile.generations import Generations

    layout = _layout(root, backend)
    store, generations = Store(layout.models), Generations(layout)
    declared = {file.sha256 for model in _declared(stack).values() for _, file in files_of(model)}
    with locked(layout, lock_timeout), store.writing("collecting unused files"):
        old = [] if keep is None else generations.surplus(keep)
        files = unused(store, declared | set(references(layout, apart_from=old)))
        rows = [Collected(str(path), _size(path)) for path in (*map(generations.path, old), *files)]
        if not dry_run:
            generations.remove(old)
            for path in files:
                store.discard(path)
    _show(rows, as_json=as_json)
    freed = show_size(sum(row.size for row in rows))
    click.echo(f"{freed} {'would be' if dry_run else 'were'} freed", err=True)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


@models.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@AS_JSON
@host_options
def import_(*, file: Path, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Copy FILE into the store under its own digest, where no source can be reached.

    A stack whose `sha256` is that digest then needs no download.
    """
    from genesis_stack.cli.model_rows import Imported
    from genesis_stack.modelstore.modelfile import import_file

    done = import_file(file, _layout(root, backend))
    _show([Imported(done.digest, done.size, str(done.path))], as_json=as_json)


@models.command()
@click.argument("target")
@click.option(
    "--stack", type=click.Path(path_type=Path), help="Where models are named, by default ./stack.yaml."
)
@AS_JSON
@host_options
def inspect(
    *, target: str, stack: Path | None, as_json: bool, root: Path | None, backend: str | None
) -> None:
    """Show what a model file says about itself; TARGET is a file, a digest's beginning, or a model's name."""
    from genesis_stack.modelstore.quantity import show_size

    path, digest, facts = _target(target, stack, _layout(root, backend))
    if as_json:
        data = {"schema_version": 1, "path": str(path), "sha256": digest, "facts": asdict(facts)}
        click.echo(json.dumps(data, indent=2))
        return
    click.echo(f"{'path':18} {path}\n{'sha256':18} {digest}")
    for key, value in asdict(facts).items():
        match key, value:
            case (("tensor_bytes" | "repackable_bytes" | "recurrent_bytes"), int()):
                shown = show_size(value)
            case "kv_heads", tuple():
                shown = ", ".join(str(count) for count in sorted(set(value)))
            case _, bool():
                shown = "yes" if value else "no"
            case _:
                shown = str(value)
        click.echo(f"{key.replace('_', ' '):18} {shown}")


def _target(target: str, stack: Path | None, layout: Layout) -> tuple[Path, str, Facts]:
    """Path, digest and facts of what `inspect` is asked about."""
    from genesis_stack.modelstore.modelfile import examine, opened
    from genesis_stack.modelstore.store import Store

    if Path(target).is_file():
        return examine(Path(target))
    store, declared = Store(layout.models), _declared(stack)
    wanted = declared[target].weights.sha256 if target in declared else target
    found = [digest for digest in store.digests() if digest.startswith(wanted)]
    if len(found) != 1:
        raise GenesisError(
            f"{target}: {'several files begin so' if found else 'no such file, digest or model here'}",
            hint="`genesis-stack models list` shows the store, `genesis-stack models pull` fills it",
            exit_code=ExitCode.USAGE,
        )
    file = opened(store, found[0], None, target)
    return file.path, file.digest, file.facts
