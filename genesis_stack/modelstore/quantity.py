"""Sizes, durations and digests as the store shows them."""

from __future__ import annotations

import math
from typing import Final

_STEP: Final = 1024


def show_size(size: int) -> str:
    """`4.58 GiB`, `93.8 MiB`, `512 B`: three significant digits, powers of 1024."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < _STEP:
            break
        value, unit = value / _STEP, larger
    if unit == "B":
        return f"{size} B"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0  # noqa: PLR2004 -- three digits
    return f"{value:.{digits}f} {unit}"


def declare_size(size: int) -> str:
    """The smallest size that can be written in a stack.yaml with one decimal and holds `size`: `4.6GiB`."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2)):
        if size >= factor:
            return f"{math.ceil(size / factor * 10) / 10:g}{unit}"
    return f"{size}B"


def show_duration(seconds: float) -> str:
    """`41 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def short(digest: str) -> str:
    """The first 12 characters, enough to tell files apart."""
    return digest[:12]
