"""Names that clients choose: printable, so that no log or terminal shows them as something else."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Field

LONGEST: Final = 256
"""Characters of an identifier."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cn", "Zl", "Zp"})
"""Unicode's general categories of what cannot be seen: NUL and other controls, bidi and zero-width formats,
private use, unassigned, line and paragraph separators (Unicode Standard, table 4-4; UTR 36, 3.1)."""


def _visible(value: str) -> str:
    if not (value.isascii() and value.isprintable()) and any(
        unicodedata.category(character) in _INVISIBLE for character in value
    ):
        raise ValueError("a name holds no control, bidirectional or invisible characters")
    return value


Identifier = Annotated[str, Field(max_length=LONGEST), AfterValidator(_visible)]
"""A name in a request: at most `LONGEST` characters, all of which can be seen."""
