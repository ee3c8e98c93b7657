"""What an unquoted word of a stack stands for: YAML 1.2's core schema, where 1.1 agrees.

YAML 1.1 (which Python, Ansible and Ruby read) and 1.2 (which editors and Go read) take some words for
different values: `no`, `0644`, `12:30`, `1_000`, `1e5`. Those are refused, so that a stack means one thing.
See https://yaml.org/spec/1.2.2/#103-core-schema and https://yaml.org/type/.
"""

from __future__ import annotations

import math
import re
from typing import Final

Scalar = str | int | float | bool | None

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_OTHER_BOOLEAN: Final = frozenset(
    {"yes", "Yes", "YES", "on", "On", "ON", "no", "No", "NO", "off", "Off", "OFF"}
)
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_AMBIGUOUS: Final = re.compile(
    r"[-+]?("
    r"0[0-9_]+"  # octal
    r"|0[xob][0-9a-fA-F_]+"
    r"|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60
    r"|[0-9]+[eE][-+]?[0-9]+"  # a hexadecimal digest may look like this
    r"|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"
    r"|[1-9][0-9]{18,}"  # beyond 64 bits
    r")"
)


class AmbiguousScalarError(Exception):
    """A word that has no one meaning; `what` says why and `hint` what to write."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def resolve(word: str) -> Scalar:
    """The value of an unquoted word; raises AmbiguousScalarError where readers of YAML disagree."""
    if word in _NULL:
        return None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if word in _OTHER_BOOLEAN:
        yes = word.lower() in {"yes", "on"}
        raise AmbiguousScalarError(
            f"{word} is a boolean to some readers of YAML and text to others",
            f'write {"true" if yes else "false"}, or "{word}" if text is meant',
        )
    if _NOT_FINITE.fullmatch(word):
        raise AmbiguousScalarError(
            f"{word} is not a finite number", "write a number, or quote it if text is meant"
        )
    return _number(word)


def _number(word: str) -> str | int | float:
    if _INTEGER.fullmatch(word):
        return int(word)
    if _DECIMAL.fullmatch(word) and math.isfinite(number := float(word)):
        return number
    if _DECIMAL.fullmatch(word) or _AMBIGUOUS.fullmatch(word):
        raise AmbiguousScalarError(
            "this is read as different numbers, or as text, by different readers of YAML",
            "write the number in plain decimal digits, or quote it if text is meant",
        )
    return word
