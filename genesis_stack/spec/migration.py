"""Versions of the format: which one a file is of, and the way from an older one to the current one.

A migration works on the text, so that comments, order and spacing stay as they were written. There has been
one version so far; a second brings the first entry of `MIGRATIONS` with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from genesis_stack.spec.document import Document, Mark, parse
from genesis_stack.spec.problems import InvalidStackError, Path, Problem
from genesis_stack.spec.source import Source

CURRENT: Final = "genesis.stack/v1"
_VERSION: Final = re.compile(r"genesis\.stack/v([1-9][0-9]{0,5})")
_KEY: Final = "api_version"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from a version to the next; `rewrite` changes all but the version itself."""

    source: str
    target: str
    rewrite: Callable[[Source], Source]


MIGRATIONS: Final[tuple[Migration, ...]] = ()


def migrated(source: Source, migrations: Sequence[Migration], current: str) -> Source:
    """The text in the current version; the very same text if it is of that version already.

    Raises:
        InvalidStackError: it is no YAML, or of no version that a way leads from.
    """
    by_version = {step.source: step for step in migrations}
    while (found := _version(source, migrations, current)) != current:
        step = by_version[found]
        source = replace_value(step.rewrite(source), (_KEY,), step.source, step.target)
    return source


def of_another_version(document: Document, migrations: Sequence[Migration], current: str) -> Problem | None:
    """What to do about a stack that is of an older version or of a newer one; None for any other."""
    found = document.content.get(_KEY) if isinstance(document.content, dict) else None
    number, newest = _number(found), _number(current)
    mark = document.positions.of_value((_KEY,))
    if number > newest:
        what = f"is {found}, and this genesis-stack reads up to {current}"
        return Problem(document.name, mark.line, mark.column, _KEY, what, "update genesis-stack")
    if any(step.source == found for step in migrations):
        what, hint = f"is {found}, an older version", f"run `genesis-stack migrate {document.name}`"
        return Problem(document.name, mark.line, mark.column, _KEY, what, hint)
    return None


def rename_key(source: Source, path: Path, new: str) -> Source:
    """The text with the key at `path` written as `new`; unchanged if it is not there."""
    mark = parse(source).positions.keys.get(path)
    return source if mark is None else _replaced(source, mark, str(path[-1]), new)


def replace_value(source: Source, path: Path, old: str, new: str) -> Source:
    """The text with the single value `old` at `path`, quoted or not, written as `new`."""
    return _replaced(source, parse(source).positions.values[path], old, new)


def _replaced(source: Source, mark: Mark, old: str, new: str) -> Source:
    lines = source.text.splitlines(keepends=True)
    before, after = lines[mark.line - 1][: mark.column - 1], lines[mark.line - 1][mark.column - 1 :]
    lines[mark.line - 1] = before + after.replace(old, new, 1)
    return Source(source.name, "".join(lines))


def _version(source: Source, migrations: Sequence[Migration], current: str) -> str:
    document = parse(source)
    problems = list(document.problems)
    if newer := of_another_version(document, (), current):
        problems.append(newer)
    found = document.content.get(_KEY) if isinstance(document.content, dict) else None
    if not problems and found != current and found not in {step.source for step in migrations}:
        mark = document.positions.of_value((_KEY,))
        hint = f"write api_version: {current}, and let `genesis-stack validate` tell what else is wrong"
        what = "is no version of a stack"
        problems.append(Problem(document.name, mark.line, mark.column, _KEY, what, hint))
    if problems:
        raise InvalidStackError(problems)
    return str(found)


def _number(version: object) -> int:
    """The number of a version; 0 for what is none."""
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    return int(found[1]) if found else 0
