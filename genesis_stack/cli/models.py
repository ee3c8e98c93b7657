"""`genesis-stack models`: pull, verify, list, inspect, import and collect model files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genesis_stack.cli.host import AS_JSON, STACK, host_options
from genesis_stack.errors import ExitCode, GenesisError

if TYPE_CHECKING:
    from genesis_stack.layout import Layout
    from genesis_stack.modelstore.facts import Facts


@click.group()
def models() -> None:
    """Pull, verify, list, inspect, import and collect model files."""


def _layout(root: Path | None, backend: str | None) -> Layout:
    from genesis_stack.settings import load_settings

    return load_settings(root=root, backend=backend).layout


def _show(rows: list[dict[str, Any]], *, as_json: bool, line: Callable[[dict[str, Any]], str]) -> None:
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "files": rows}, indent=2))
    else:
        for row in rows:
            click.echo(line(row))


@models.command()
@STACK
@AS_JSON
@host_options
def pull(*, stack: Path, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Download and verify every file that STACK declares; what is there already costs nothing."""
    from genesis_stack.modelstore.modelfile import ensure
    from genesis_stack.modelstore.quantity import short, show_size
    from genesis_stack.modelstore.verdict import files_of
    from genesis_stack.spec.load import load

    layout = _layout(root, backend)
    rows: list[dict[str, Any]] = []
    for name, model in load(stack).models.items():
        for role, weights in files_of(model):
            file = ensure(weights, layout)
            rows.append(
                {
                    "model": name,
                    "role": role,
                    "sha256": file.digest,
                    "size": file.size,
                    "path": str(file.path),
                }
            )
    _show(
        rows,
        as_json=as_json,
        line=lambda row: (
            f"{row['model']}  {row['role']}  {show_size(row['size'])}  sha256 {short(row['sha256'])}"
        ),
    )


@models.command()
@click.option("--deep", is_flag=True, help="Hash every file, also those unchanged since the last time.")
@AS_JSON
@host_options
def verify(*, deep: bool, as_json: bool, root: Path | None, backend: str | None) -> int:
    """Check every file of the store; a damaged one goes into quarantine. Exit status 65 tells of one."""
    from genesis_stack.modelstore.faults import ChecksumError
    from genesis_stack.modelstore.store import Store

    store = Store(_layout(root, backend).models)
    rows: list[dict[str, Any]] = []
    for digest in store.digests():
        hashed = deep or not store.verified(digest)
        damage = None
        if hashed:
            try:
                with store.writing(f"verifying {digest}"):
                    store.verify(digest, what=f"sha256 {digest}")
            except ChecksumError as error:
                damage = str(error)
        rows.append({"sha256": digest, "ok": damage is None, "hashed": hashed, "damage": damage})

    def line(row: dict[str, Any]) -> str:
        how = "hashed" if row["hashed"] else "unchanged since it was hashed"
        return f"{row['sha256']}  " + (f"ok, {how}" if row["ok"] else "DAMAGED")

    _show(rows, as_json=as_json, line=line)
    broken = [row["damage"] for row in rows if row["damage"]]
    for damage in broken:
        click.echo(damage, err=True)
    return ExitCode.CHECKSUM if broken else ExitCode.OK


@models.command(name="list")
@AS_JSON
@host_options
def list_(*, as_json: bool, root: Path | None, backend: str | None) -> None:
    """List the files of the store and the generations that need them."""
    from genesis_stack.modelstore.facts import load_cached
    from genesis_stack.modelstore.quantity import short, show_size
    from genesis_stack.modelstore.references import references
    from genesis_stack.modelstore.store import Store

    layout = _layout(root, backend)
    store, needed_by = Store(layout.models), references(layout)
    rows: list[dict[str, Any]] = []
    for digest in store.digests():
        facts = load_cached(store.facts(digest))
        rows.append(
            {
                "sha256": digest,
                "size": store.path(digest).stat().st_size,
                "verified": store.verified(digest),
                "name": facts.name if facts else "",
                "architecture": facts.architecture if facts else "",
                "quantization": facts.quantization if facts else "",
                "generations": needed_by.get(digest, []),
            }
        )

    def line(row: dict[str, Any]) -> str:
        state = "verified" if row["verified"] else "not verified"
        use = f"generations {', '.join(row['generations'])}" if row["generations"] else "unused"
        what = " ".join(row[key] for key in ("name", "architecture", "quantization") if row[key])
        return f"{short(row['sha256'])}  {show_size(row['size']):>9}  {state}  {use}  {what}"

    _show(rows, as_json=as_json, line=line)
    for path in store.leftovers():
        click.echo(f"also there: {path}", err=True)


@models.command()
@click.option(
    "--stack", type=click.Path(path_type=Path), default=Path("stack.yaml"), help="Also keep its files."
)
@click.option("--dry-run", is_flag=True, help="Delete nothing, only tell.")
@AS_JSON
@host_options
def gc(*, stack: Path, dry_run: bool, as_json: bool, root: Path | None, backend: str | None) -> None:
    """Delete files that no generation and no stack needs, unfinished downloads, and the quarantine."""
    from genesis_stack.modelstore.quantity import show_size
    from genesis_stack.modelstore.references import references, unused
    from genesis_stack.modelstore.store import Store
    from genesis_stack.modelstore.verdict import files_of
    from genesis_stack.reconcile.lock import held
    from genesis_stack.spec.load import load

    layout = _layout(root, backend)
    store = Store(layout.models)
    with held(layout.lock, 0, "genesis-stack models gc"), store.writing("collecting unused files"):
        declared = load(stack).models.values() if stack.exists() else ()
        kept = set(references(layout)) | {file.sha256 for model in declared for _, file in files_of(model)}
        sizes = {path: _size(path) for path in unused(store, kept)}
        if not dry_run:
            for path in sizes:
                store.discard(path)
    rows = [{"path": str(path), "size": size} for path, size in sizes.items()]
    _show(rows, as_json=as_json, line=lambda row: f"{show_size(row['size']):>9}  {row['path']}")
    freed = show_size(sum(sizes.values()))
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
    from genesis_stack.modelstore.modelfile import import_file

    done = import_file(file, _layout(root, backend))
    row = {"sha256": done.digest, "size": done.size, "path": str(done.path)}
    _show([row], as_json=as_json, line=lambda row: f"sha256: {row['sha256']}")


@models.command()
@click.argument("target")
@click.option(
    "--stack", type=click.Path(path_type=Path), default=Path("stack.yaml"), help="Where models are named."
)
@AS_JSON
@host_options
def inspect(*, target: str, stack: Path, as_json: bool, root: Path | None, backend: str | None) -> None:
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


def _target(target: str, stack: Path, layout: Layout) -> tuple[Path, str, Facts]:
    """Path, digest and facts of what `inspect` is asked about."""
    from genesis_stack.modelstore.modelfile import examine, opened
    from genesis_stack.modelstore.store import Store
    from genesis_stack.spec.load import load

    if Path(target).is_file():
        return examine(Path(target))
    store = Store(layout.models)
    wanted = target
    if stack.exists() and target in (declared := load(stack).models):
        wanted = declared[target].weights.sha256
    found = [digest for digest in store.digests() if digest.startswith(wanted)]
    if len(found) != 1:
        raise GenesisError(
            f"{target}: {'several files begin so' if found else 'no such file, digest or model here'}",
            hint="`genesis-stack models list` shows the store, `genesis-stack models pull` fills it",
            exit_code=ExitCode.USAGE,
        )
    file = opened(store, found[0], None, target)
    return file.path, file.digest, file.facts
