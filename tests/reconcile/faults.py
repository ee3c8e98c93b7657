"""What may go wrong at any change of the host."""

from __future__ import annotations


class KilledError(BaseException):
    """SIGKILL, as far as the code under test can tell: nothing catches it."""


class Fault:
    """Does something at the k-th change, and counts them all."""

    def __init__(self, at: int, error: BaseException, only: str = "") -> None:
        self.left = at
        self.error = error
        self.only = only
        self.struck = False

    def __call__(self, what: str) -> None:
        """Be told of a change."""
        if what.startswith(self.only):
            self.left -= 1
            if self.left == 0:
                self.struck = True
                raise self.error
