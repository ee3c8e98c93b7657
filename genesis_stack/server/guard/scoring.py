"""Scores texts against the injection patterns, in time linear in the text.

RE2 matches a family's patterns in one pass of an automaton; the families of code share one. Before that,
invisible characters are dropped and look-alike letters (full-width, mathematical) become plain ones. What
looks like base64 is decoded and scored too, once: a payload inside a payload stays unseen.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from genesis_stack.server.guard.patterns import FAMILIES, PATTERNS, Pattern

ENCODED: Final = "encoded"

MOST_RUNS: Final = 16
"""Base64 runs of one text that are decoded."""

_CODE: Final = frozenset({"python", "sql", "shell", "template"})

_AUTOMATON_BYTES: Final = 4 * 2**20
"""Most memory of one family's automaton; beyond it RE2 starts its cache over, which costs only time."""

_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_URL_SAFE: Final = str.maketrans("-_", "+/")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_LOOKALIKE_BLOCKS: Final = (
    (0xFF01, 0xFF5F),
    (0x1D400, 0x1D800),
    (0x24B6, 0x24EA),
    (0x2100, 0x2150),
    (0x1F110, 0x1F16A),
)
_TAGS: Final = range(0xE0020, 0xE007F)
"""Unicode's tag characters: invisible ASCII, with which text is smuggled past readers."""


@dataclass(frozen=True, slots=True)
class Score:
    """How much a text looks like an injection, 0 to 1, and the families that say so."""

    value: float
    families: tuple[str, ...]


NOTHING: Final = Score(0.0, ())


def score(text: str) -> Score:
    """The score of one text; what it hides in base64 counts like one more pattern."""
    plain = _plain(text)
    hits = list(_hits(plain))
    families = {pattern.family for pattern in hits}
    weights = [pattern.weight for pattern in hits]
    hidden = [hits for decoded in _decoded(plain) if (hits := list(_hits(decoded)))]
    for payload in hidden:
        families |= {ENCODED, *(pattern.family for pattern in payload)}
        weights += [pattern.weight for pattern in payload]
    doubt = math.prod(1 - weight for weight in weights)
    return Score(1 - doubt, tuple(family for family in FAMILIES if family in families))


def highest(scores: Iterable[Score]) -> Score:
    """The one that says most; `NOTHING` of none."""
    return max(scores, key=lambda one: one.value, default=NOTHING)


def _hits(text: str) -> Iterable[Pattern]:
    data = text.encode("utf-8", "replace")
    for automaton, patterns in automata():
        for index in automaton.Match(data) or ():
            yield patterns[index]


@cache
def automata() -> tuple[tuple[Any, tuple[Pattern, ...]], ...]:
    """Compiled RE2 sets, each with the patterns that its indices mean; importing RE2 takes 10 ms."""
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.max_mem = _AUTOMATON_BYTES
    groups = [frozenset({family}) for family in FAMILIES if family not in _CODE] + [_CODE]
    compiled = []
    for group in groups:
        patterns = tuple(pattern for pattern in PATTERNS if pattern.family in group)
        automaton = re2.Set.SearchSet(options)
        for pattern in patterns:
            automaton.Add(pattern.expression)
        automaton.Compile()
        compiled.append((automaton, patterns))
    return tuple(compiled)


def _plain(text: str) -> str:
    return text if text.isascii() else _INVISIBLE.sub("", text).translate(_lookalikes())


@cache
def _lookalikes() -> dict[int, str]:
    """Letters that decompose to ASCII; looked up one by one, because NFKC of a whole text is not linear."""
    found = {code: chr(code - 0xE0000) for code in _TAGS}
    for start, end in _LOOKALIKE_BLOCKS:
        for code in range(start, end):
            plain = unicodedata.normalize("NFKC", chr(code))
            if plain.isascii():
                found[code] = plain
    return found


def _decoded(text: str) -> Iterable[str]:
    """The readable ones among the first base64 runs."""
    for number, run in enumerate(_BASE64.finditer(text)):
        if number == MOST_RUNS:
            return
        digits = run[0].rstrip("=").translate(_URL_SAFE)
        try:
            yield base64.b64decode(digits[: len(digits) // 4 * 4], validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            continue
