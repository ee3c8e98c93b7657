"""Runs Locust in a process of its own and reads what it saw."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import genesis_stack
from genesis_stack import process
from genesis_stack.errors import GenesisError
from genesis_stack.loadtest.progress import told
from genesis_stack.loadtest.record import Record, read_record
from genesis_stack.loadtest.setting import (
    HOST_VARIABLE,
    PROFILE_VARIABLE,
    PROGRESS_VARIABLE,
    RESULT_VARIABLE,
    STACK_VARIABLE,
    Setting,
)

LAST_REQUESTS: Final = 120
"""Seconds that requests have to end once the test is over; what has not ended then has failed."""
AROUND: Final = 120.0
"""Seconds for all that is not load: starting, spawning, writing."""


def locustfile() -> Path:
    """Where it is: in the package, or beside it in a checkout."""
    package = Path(genesis_stack.__file__).parent
    installed = package / "loadtests" / "locustfile.py"
    return installed if installed.exists() else package.parent / "loadtests" / "locustfile.py"


def check_locust() -> None:
    """See that Locust is installed, without importing it.

    Raises:
        GenesisError: it is not.
    """
    if importlib.util.find_spec("locust") is None:
        raise GenesisError("load tests need Locust", hint="pip install 'genesis-stack[load]'")


def run_load(stack: Path, setting: Setting) -> Record:
    """Run a profile to its end, and tell on stderr how far it is.

    Raises:
        GenesisError: Locust is not installed, or did not come to an end.
    """
    check_locust()
    with tempfile.TemporaryDirectory(prefix="genesis-load-") as scratch:
        target, progress = Path(scratch) / "record.json", Path(scratch) / "progress.json"
        given = {
            STACK_VARIABLE: str(stack.absolute()),
            PROFILE_VARIABLE: setting.name,
            HOST_VARIABLE: setting.host or "",
            RESULT_VARIABLE: str(target),
            PROGRESS_VARIABLE: str(progress),
        }
        patience = setting.duration + LAST_REQUESTS + AROUND
        with told(progress, setting.name, setting.duration):
            done = process.run(_argv(), check=False, env=os.environ | given, timeout=patience)
        if not target.exists():
            tail = (done.stderr or done.stdout).strip().splitlines()[-20:]
            raise GenesisError("the load test did not come to an end\n  " + "\n  ".join(tail))
        return read_record(target)


def _argv() -> list[str | Path]:
    """Failed requests are judged by the promises, not by Locust's own exit code."""
    words: list[str | Path] = [sys.executable, "-m", "locust", "-f", locustfile(), "--headless"]
    return [*words, "--only-summary", "--exit-code-on-error=0", f"--stop-timeout={LAST_REQUESTS}"]
