"""Rendered files as a directory in a repository, where a review sees what a change does to the host."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path, PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.render import grafana
from genesis_stack.render.files import RenderedFile
from genesis_stack.render.monitoring import cases_file, directory, external_paths
from genesis_stack.render.systemd import ABOUT, UNITS
from genesis_stack.spec.model import Stack

_ETC: Final = PurePosixPath("/etc")


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not what the stack renders; None stands for no file."""

    path: PurePosixPath
    committed: str | None
    rendered: str | None

    @property
    def action(self) -> str:
        """What rendering does to the file: add, change or remove."""
        if self.committed is None:
            return "add"
        return "remove" if self.rendered is None else "change"

    def diff(self) -> str:
        """The unified diff from what is committed to what is rendered."""
        before, after = (
            text.splitlines(keepends=True) if text else [] for text in (self.committed, self.rendered)
        )
        names = (f"a/{self.path}", f"b/{self.path}")
        return "".join(unified_diff(before, after, *names))


def apart(
    files: Iterable[RenderedFile], stack: Stack, layout: Layout
) -> tuple[list[RenderedFile], list[RenderedFile]]:
    """Units and configs on one side; on the other what watches, with the tests of its rules and its plots."""
    above = (directory(layout), *(path.parent for path in external_paths(stack)))
    units: list[RenderedFile] = []
    alerts: list[RenderedFile] = []
    for file in files:
        (alerts if file.path.parent in above else units).append(file)
    beside = (cases_file(stack, layout), grafana.grafana_file(stack, layout))
    return units, [*alerts, *(file for file in beside if file is not None)]


def compare(folder: Path, files: Iterable[RenderedFile], layout: Layout) -> tuple[Difference, ...]:
    """Where `folder` and the rendered files differ, by path.

    Files of the folder that were never rendered are not looked at.
    """
    rendered = {_place(file, layout): file.content for file in files}
    committed = dict(_ours(folder))
    for path in rendered.keys() - committed.keys():
        if (folder / path).exists():
            committed[path] = (folder / path).read_text(encoding="utf-8")
    return tuple(
        Difference(path, committed.get(path), rendered.get(path))
        for path in sorted(rendered.keys() | committed.keys())
        if committed.get(path) != rendered.get(path)
    )


def settle(directory: Path, differences: Iterable[Difference]) -> None:
    """Make the directory hold what is rendered."""
    for difference in differences:
        path = directory / difference.path
        if difference.rendered is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(difference.rendered, encoding="utf-8")


def _place(file: RenderedFile, layout: Layout) -> PurePosixPath:
    """Units and what watches at the top, the rest by what it is: models/, sysusers.d/, tmpfiles.d/."""
    if file.path.suffix == ".yml" or file.path.name == grafana.NAME:
        return PurePosixPath(file.path.name)
    for above in (UNITS, PurePosixPath(layout.config), _ETC):
        if file.path.is_relative_to(above):
            return file.path.relative_to(above)
    return file.path.relative_to("/")


def _ours(directory: Path) -> Iterator[tuple[PurePosixPath, str]]:
    """The files that an earlier rendering left, told by their first line, or by their form for JSON."""
    for path in (*directory.glob("*.*"), *directory.glob("*.d/*.conf")):
        if path.is_file() and (text := _text(path)).startswith(f"# {ABOUT}"):
            yield PurePosixPath(path.relative_to(directory)), text
    for path in (*directory.glob("models/*.json"), *directory.glob("access/*.json")):
        if _is_config(text := _text(path), path.stem):
            yield PurePosixPath(path.relative_to(directory)), text
    plots = directory / grafana.NAME
    if plots.is_file() and grafana.is_rendered(text := _text(plots)):
        yield PurePosixPath(plots.name), text


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _is_config(text: str, name: str) -> bool:
    """Whether it is the config of a server, or the declared clients."""
    try:
        content: object = json.loads(text)
    except ValueError:
        return False
    if not isinstance(content, Mapping):
        return False
    return name in content if name == "clients" else content.get("model") == name and "engine" in content
