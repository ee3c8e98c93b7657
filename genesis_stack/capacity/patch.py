"""Tuned settings as a patch of the stack file: only the values change, every comment and space stays.

Stacks have no anchors, aliases or merges, so what a value's place in the text is, is unambiguous.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

import yaml

from genesis_stack.capacity.tuning import Change
from genesis_stack.errors import GenesisError
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import InvalidStackError
from genesis_stack.spec.source import read

_NO_NEWLINE: Final = "\\ No newline at end of file\n"


def patch(path: Path, stack: Stack, model: str, changes: Sequence[Change]) -> str:
    """A unified diff of the stack file, for `git apply` or `patch -p1` in this directory, or nothing.

    Raises:
        GenesisError: the changed file would not say what it should; the message tells what to write by hand.
    """
    before = read(path).text
    if not changes:
        return ""
    after = _changed(before, model, {change.setting: str(change.after) for change in changes})
    _check(after, path, stack, model, changes)
    name = os.path.relpath(path)
    return "".join(_diff(before, after, path.name if name.startswith("..") else name))


def _diff(before: str, after: str, name: str) -> Iterator[str]:
    """The diff's lines; a last line without an end is marked as diff(1) marks it."""
    for line in unified_diff(_lines(before), _lines(after), fromfile=f"a/{name}", tofile=f"b/{name}"):
        yield line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}"


def _lines(text: str) -> list[str]:
    """Lines with their ends, as only a newline makes them."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _changed(text: str, model: str, settings: Mapping[str, str]) -> str:
    """The text with these settings in the model's `engine`."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    served = _value(_value(root, "models"), model)
    engine = _value(served, "engine")
    if engine is None:
        pairs = ", ".join(f"{key}: {value}" for key, value in settings.items())
        return _edited(text, [_insertion(text, served, [f"engine: {{{pairs}}}"])])
    present = {key: _value(engine, key) for key in settings}
    edits = [
        (node.start_mark.index, node.end_mark.index, settings[key])
        for key, node in present.items()
        if node is not None
    ]
    missing = [f"{key}: {settings[key]}" for key, node in present.items() if node is None]
    return _edited(text, edits + ([_insertion(text, engine, missing)] if missing else []))


def _value(mapping: Any, key: str) -> Any:
    return next((value for name, value in mapping.value if name.value == key), None)


def _insertion(text: str, mapping: Any, entries: Sequence[str]) -> tuple[int, int, str]:
    """Where and how entries are added: behind the last one whose end is known, which a block's is not."""
    ends = [value for _, value in mapping.value if isinstance(value, yaml.ScalarNode) or value.flow_style]
    if mapping.flow_style:
        at = ends[-1].end_mark.index if ends else mapping.start_mark.index + 1
        return at, at, (", " if ends else "") + ", ".join(entries)
    at = text.find("\n", ends[-1].end_mark.index)
    at = len(text) if at < 0 else at
    indent = " " * mapping.start_mark.column
    return at, at, "".join(f"\n{indent}{entry}" for entry in entries)


def _edited(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _check(text: str, path: Path, stack: Stack, model: str, changes: Sequence[Change]) -> None:
    """See that exactly these settings change."""
    update = {change.setting: change.after for change in changes}
    wanted = stack.models[model]
    wanted = wanted.model_copy(update={"engine": wanted.engine.model_copy(update=update)})
    try:
        found = loads(text, str(path))
    except InvalidStackError as error:
        found, reason = None, f"\n{error}"
    else:
        reason = ""
    if found != stack.model_copy(update={"models": stack.models | {model: wanted}}):
        by_hand = ", ".join(f"{change.setting}: {change.after}" for change in changes)
        raise GenesisError(
            f"{path}: cannot be changed automatically{reason}",
            hint=f"write into models.{model}.engine by hand: {by_hand}",
        )
