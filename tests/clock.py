"""Time that only a test moves."""

from __future__ import annotations


class Clock:
    """Seconds; call it to read them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now
