"""What an import takes in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
import time
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
    """Beyond an empty interpreter: the fastest of seven, for whatever else runs only adds."""
    empty = _fastest("pass")
    return {module: _fastest(f"import {module}") - empty for module in MODULES}


def _fastest(code: str) -> float:
    return min(_seconds(code) for _ in range(_TIMES))


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
