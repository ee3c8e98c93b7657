"""The installed programs of this environment, run as their user runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from genesis_stack.process import Completed, run

GENESIS_STACK: Final = Path(sys.prefix) / "bin/genesis-stack"
GENESIS_SERVE: Final = Path(sys.prefix) / "bin/genesis-serve"


def embedded(root: Path, *words: str, timeout: float = 150.0) -> Completed:
    """Run `genesis-stack` on this machine, without systemd and below a directory of the test's own."""
    argv = [GENESIS_STACK, *words, "--root", root, "--backend", "embedded"]
    return run(argv, check=False, timeout=timeout)
