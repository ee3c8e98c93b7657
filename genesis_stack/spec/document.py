"""YAML text in; plain values, the position of each, and the problems of the text itself out.

A stack uses the part of YAML that is plain to read: mappings, lists and scalars. Anchors, aliases, merges
and tags are refused, so nothing in the text stands for more than what is written there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from genesis_stack.spec.problems import MOST_PROBLEMS, Path, Problem, show_key, show_path
from genesis_stack.spec.scalars import AmbiguousScalarError, resolve
from genesis_stack.spec.source import Source
from genesis_stack.spec.syntax import explain

MOST_DEPTH: Final = 32
MOST_VALUES: Final = 50_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where there is one: 10 times as fast


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Positions:
    """Where keys and values stand in the text."""

    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)

    def known(self, path: Path) -> Path:
        """The longest part of a path that is there."""
        while path and path not in self.values:
            path = path[:-1]
        return path

    def of_value(self, path: Path) -> Mark:
        """Where a value stands, or the nearest thing around it."""
        return self.values.get(self.known(path), Mark(1, 1))

    def of_key(self, path: Path) -> Mark:
        """Where the key of a value stands; a list entry and the whole have none, so they stand for it."""
        return self.keys.get(self.known(path)) or self.of_value(path)


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a stack file as Python's dict, tuple, str, int, float, bool and None.

    `content` is None for an empty file. `complete` is false if the text could not be read to its end.
    `merged` are the mappings that hoped to get keys by a YAML merge: what is missing there is no news.
    """

    name: str
    content: Any
    complete: bool
    positions: Positions
    problems: tuple[Problem, ...]
    merged: frozenset[Path]


class _StopReadingError(Exception):
    """What follows in the text is not worth reading; the reason is among the problems."""


def parse(source: Source) -> Document:
    """Read the YAML of a stack; what is wrong with the text itself is in the document's `problems`."""
    reader = _Reader(source)
    content, complete = None, False
    try:
        content = reader.document()
        complete = True
    except yaml.YAMLError as error:
        reader.problems += explain(error, source)
    except _StopReadingError:
        pass
    return Document(
        source.name,
        content,
        complete,
        reader.positions,
        tuple(reader.problems),
        frozenset(reader.merged),
    )


class _Reader:
    """Builds values from the parser's events: they show anchors and positions, and expand nothing."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.events: Iterator[Any] = yaml.parse(source.text, Loader=_LOADER)
        self.positions = Positions()
        self.problems: list[Problem] = []
        self.merged: set[Path] = set()

    def document(self) -> Any:
        """The value of the one document in the text; None if there is none."""
        next(self.events)  # the stream starts
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        content = self.value(next(self.events), ())
        next(self.events)  # the document ends
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.complain(_mark(after), (), "a second document starts here", "keep one stack a file")
        return content

    def value(self, event: Any, path: Path) -> Any:
        """The value that starts with `event`."""
        self.positions.values[path] = mark = _mark(event)
        if len(path) > MOST_DEPTH:
            what = f"is nested more than {MOST_DEPTH} levels deep"
            self.stop(mark, path, what, "no setting is that deep: look for brackets that are not closed")
        if len(self.positions.values) > MOST_VALUES:
            what = f"is value number {MOST_VALUES + 1}: a stack has fewer"
            self.stop(mark, path, what, "split it into one stack a host")
        self.refuse_indirection(event, path)
        match event:
            case yaml.MappingStartEvent():
                return self.mapping(path)
            case yaml.SequenceStartEvent():
                return self.sequence(path)
            case yaml.ScalarEvent():
                return self.scalar(event, mark, path)
        return None

    def mapping(self, path: Path) -> dict[str, Any]:
        """The entries up to the mapping's end; of duplicate keys the first one counts."""
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path)
            if key in entries:
                first = self.positions.keys[(*path, key)].line
                self.complain(
                    _mark(event), (*path, key), f"is given twice, first on line {first}", "keep one of them"
                )
                self.value(next(self.events), (*path, f"{key} (again)"))
                continue
            self.positions.keys[(*path, key)] = _mark(event)
            entries[key] = self.value(next(self.events), (*path, key))
        return entries

    def key(self, event: Any, path: Path) -> str:
        """A key's text; a key that is no text is reported, and read as what is written."""
        mark = _mark(event)
        if not isinstance(event, yaml.ScalarEvent):
            what = "a key must be text, not an alias, list or mapping"
            self.stop(mark, path, what, "write the key as a word before the colon")
        self.refuse_indirection(event, path)
        if event.value == "<<" and not event.style:
            self.merged.add(path)
            self.complain(mark, (*path, "<<"), "YAML merges are not supported", "write the keys out")
        elif not event.style and not self.is_text(event.value):
            hint = f'quote it: "{event.value}"' if event.value else "write the key before the colon"
            self.complain(mark, (*path, event.value), "a key must be text", hint)
        return str(event.value)

    def is_text(self, word: str) -> bool:
        """Whether an unquoted word is text to every reader of YAML."""
        try:
            return isinstance(resolve(word), str)
        except AmbiguousScalarError:
            return False

    def sequence(self, path: Path) -> tuple[Any, ...]:
        """The entries up to the list's end."""
        entries: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            entries.append(self.value(event, (*path, len(entries))))
        return tuple(entries)

    def scalar(self, event: Any, mark: Mark, path: Path) -> Any:
        """Quoted text as it is, an unquoted word as what it stands for."""
        if event.style:
            return event.value
        try:
            return resolve(event.value)
        except AmbiguousScalarError as error:
            self.complain(mark, path, error.what, error.hint)
            return None

    def refuse_indirection(self, event: Any, path: Path) -> None:
        """Report anchors, aliases and tags."""
        if isinstance(event, yaml.AliasEvent):
            self.complain(
                _mark(event),
                path,
                f"YAML aliases (*{show_key(str(event.anchor))}) are not supported",
                "write the value out",
            )
        elif event.anchor is not None:
            self.complain(
                _mark(event),
                path,
                f"YAML anchors (&{show_key(str(event.anchor))}) are not supported",
                "remove it",
            )
        if getattr(event, "tag", None) is not None:
            self.complain(_mark(event), path, "YAML tags (!…) are not supported", "remove it")

    def stop(self, mark: Mark, path: Path, what: str, hint: str) -> NoReturn:
        """Report what makes the rest not worth reading."""
        self.complain(mark, path, what, hint)
        raise _StopReadingError

    def complain(self, mark: Mark, path: Path, what: str, hint: str | None = None) -> None:
        """Report a problem, and stop reading what is nothing but problems."""
        self.problems.append(Problem(self.name, mark.line, mark.column, show_path(path), what, hint))
        if len(self.problems) >= MOST_PROBLEMS:
            raise _StopReadingError


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
