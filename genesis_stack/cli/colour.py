"""When output is coloured: on a terminal, unless NO_COLOR; elsewhere only where FORCE_COLOR asks for it.

NO_COLOR (no-color.org) wins over FORCE_COLOR (force-color.org), and both over the setting `colour`.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click


def coloured(stream: TextIO) -> bool:
    """Whether what is written to a stream may hold colours."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    match _setting():
        case "always":
            return True
        case "never":
            return False
        case _:
            return stream.isatty() and os.environ.get("TERM") != "dumb"


def _setting() -> str:
    from genesis_stack.errors import GenesisError
    from genesis_stack.settings import load_settings

    try:
        return load_settings().colour
    except (GenesisError, OSError):  # whoever needs the settings themselves says what is wrong with them
        return "auto"


def show(text: str, *, err: bool = False, newline: bool = True) -> None:
    """Print text that may hold colours; they stay only where they are wanted."""
    click.echo(text, err=err, nl=newline, color=coloured(sys.stderr if err else sys.stdout))
