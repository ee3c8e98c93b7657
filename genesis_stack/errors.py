"""What the operator's side says when it cannot go on, and the exit codes it ends with."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit status of `genesis-stack`; 64 to 78 are those of sysexits.h where one fits."""

    OK = 0  # done, or in sync
    FAILED = 1  # what was asked could not be done
    CHANGES = 2  # `plan --exit-code` has changes, or the host has drifted
    STALE_PLAN = 3  # the host or the stack changed since the plan was saved
    ROLLED_BACK = 4  # a gate failed and the previous generation serves again
    ROLLBACK_FAILED = 5  # a gate failed and so did the way back
    VIOLATED = 6  # host checks or SLOs do not hold
    USAGE = 64  # the command line is wrong
    CHECKSUM = 65  # a model file is not what the stack declares
    LOCKED = 75  # another run holds the lock
    BAD_SIGNATURE = 77  # a commit or a request is not signed as it must be
    INVALID_CONFIG = 78  # the stack or the tool's settings are invalid
    INTERRUPTED = 130  # Ctrl-C


class GenesisError(Exception):
    """An end with a reason: where and what in the message, what to do in `hint`.

    Shown as `error: message` and `  hint: …`, without a traceback unless `--debug` is given.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None, exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def document(self) -> dict[str, Any]:
        """The error as JSON data, as `--json` prints it below `error`."""
        return {"message": str(self), "hint": self.hint, "exit_code": int(self.exit_code)}
