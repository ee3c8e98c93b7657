"""What is wrong with a PromQL expression as far as can be told without Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

OPENING: Final = {"(": ")", "[": "]", "{": "}"}
CLOSING: Final = frozenset(OPENING.values())
TEXT: Final = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`""")
"""Comments and texts, in which a bracket is no bracket."""
QUANTITY: Final = re.compile(r"(?<![\w.:])[0-9]+(?:\.[0-9]+)? ?(?:[kKMGT]i?B|%(?=\s*($|\)|and|or|unless)))")


def flaws(expression: str) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do."""
    bare = TEXT.sub(lambda found: " " * len(found[0]), expression)
    for quote in "\"'`":
        if quote in bare:
            yield f"a text that begins with {quote} does not end, {_at(bare.index(quote))}", "close it"
            return
    yield from _brackets(bare)
    if found := QUANTITY.search(bare):
        what = f"PromQL knows no {found[0].strip()}, {_at(found.start())}"
        yield what, "write bytes and shares as plain numbers: 8GB is 8e9, 90% is 0.9"


def _brackets(bare: str) -> Iterator[tuple[str, str]]:
    expected: list[tuple[str, int]] = []
    for index, char in enumerate(bare):
        if char in OPENING:
            expected.append((OPENING[char], index))
        elif char in CLOSING and (not expected or expected.pop()[0] != char):
            yield f"{char} closes nothing, {_at(index)}", "remove it, or open it before"
            return
    if expected:
        closing, index = expected[-1]
        yield f"{bare[index]} is never closed, {_at(index)}", f"close it with {closing}"


def _at(index: int) -> str:
    return f"at character {index + 1}"
