"""Scores texts against the injection patterns, in time linear in the text.

RE2 matches a family's patterns in one pass of an automaton; the families of code share one. Before that,
invisible characters are dropped and look-alike letters (full-width, mathematical) become plain ones. What
looks like base64, hexadecimal or binary is decoded and scored too, once: what is encoded twice stays unseen.
"""

from __future__ import annotations

import base64
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final

from genesis_stack.server.guard.patterns import FAMILIES, PATTERNS, Pattern

ENCODED: Final = "encoded"

MOST_RUNS: Final = 16
"""Encoded runs of one text that are decoded."""

_CODE: Final = frozenset({"python", "sql", "shell", "template"})

_AUTOMATON_BYTES: Final = 4 * 2**20
"""Most memory of one family's automaton; beyond it RE2 starts its cache over, which costs only time."""

_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
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
    """The score of one text; what it hides in an encoding counts like its own text."""
    data = _plain(text).encode("utf-8", "replace")
    hits = list(_hits(data))
    families = {pattern.family for pattern in hits}
    for payload in _decoded(data):
        hidden = list(_hits(payload))
        if hidden:
            hits += hidden
            families |= {ENCODED, *(pattern.family for pattern in hidden)}
    doubt = math.prod(1 - pattern.weight for pattern in hits)
    return Score(1 - doubt, tuple(family for family in FAMILIES if family in families))


def highest(scores: Iterable[Score]) -> Score:
    """The one that says most; `NOTHING` of none."""
    return max(scores, key=lambda one: one.value, default=NOTHING)


def _hits(data: bytes) -> Iterable[Pattern]:
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


def _decoded(data: bytes) -> Iterable[bytes]:
    """The readable ones among the first runs of each encoding."""
    for runs, decode in _encodings():
        for run in islice(runs.finditer(data), MOST_RUNS):
            try:
                decoded = decode(run[0])
                decoded.decode("utf-8")
            except ValueError:
                continue
            yield decoded


@cache
def _encodings() -> tuple[tuple[Any, Callable[[bytes], bytes]], ...]:
    """What a run of each looks like to RE2, and what it stands for."""
    import re2

    return (
        (re2.compile(rb"[A-Za-z0-9+/_-]{24,}"), _from_base64),
        (re2.compile(rb"\b(?:[0-9A-Fa-f]{2} ?){16,}\b"), lambda run: bytes.fromhex(run.decode("ascii"))),
        (
            re2.compile(rb"\b(?:[01]{8} ){6,}[01]{8}\b"),
            lambda run: bytes(int(octet, 2) for octet in run.split()),
        ),
    )


def _from_base64(run: bytes) -> bytes:
    return base64.b64decode(run[: len(run) // 4 * 4], altchars=b"-_" if b"-" in run or b"_" in run else None)
