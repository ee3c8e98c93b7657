"""Look at something again and again until Ctrl-C: a screen on a terminal, text after text in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

import click

from genesis_stack.cli.colour import coloured, show


def watch(look: Callable[[], str], seconds: float, *, screen: bool) -> None:
    """Show what `look` returns every so many seconds; Ctrl-C is the way to end it.

    A terminal shows one screen that changes, if `screen` is wanted.
    """
    with contextlib.suppress(KeyboardInterrupt):
        if screen and sys.stdout.isatty():
            _on_screen(look, seconds)
        else:
            while True:
                show(look())
                time.sleep(seconds)


def _on_screen(look: Callable[[], str], seconds: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    latest = look()
    console = Console(no_color=not coloured(sys.stdout))
    try:
        with Live(Text.from_ansi(latest), console=console, screen=True, auto_refresh=False) as live:
            while True:
                foot = f"\n\n{time.strftime('%H:%M:%S')}, every {seconds:g} s; Ctrl-C ends"
                live.update(Text.from_ansi(latest + foot), refresh=True)
                time.sleep(seconds)
                latest = look()
    finally:
        click.echo(latest, color=coloured(sys.stdout))
