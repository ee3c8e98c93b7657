"""What an import takes in a fresh interpreter."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Final

MODULES: Final = (
    "genesis_stack.cli.main",
    "genesis_stack.spec",
    "genesis_stack.client",
    "genesis_stack.server.main",
    "genesis_stack.server.app",
    "genesis_stack.protocol.signature",
    "genesis_stack.protocol.signing",
    "genesis_stack.engine.llama",
)
_TIMES: Final = 7


def import_seconds() -> dict[str, float]:
    """Processor time beyond an empty interpreter's: the least of seven, for whatever else runs only adds."""
    empty = _least("pass")
    return {module: _least(f"import {module}") - empty for module in MODULES}


def _least(code: str) -> float:
    return min(_seconds(code) for _ in range(_TIMES))


def _seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
