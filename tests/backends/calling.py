"""Requests of clients to a machine of the scenarios, made on that machine."""

from __future__ import annotations

import sys
from pathlib import Path

from backends.booted import Booted
from backends.scenarios import Machine
from genesis_stack.process import run

CALL = Path(__file__).parents[1] / "hosts" / "client_call.py"


def ask(machine: Machine, how: str, key: str = "") -> int:
    """Status of one request."""
    argv = [sys.executable, CALL, machine.port, how]
    if isinstance(machine, Booted):
        done = machine.host.run(argv, input_text=key + "\n", timeout=90)
    else:
        done = run(list(map(str, argv)), input_text=key + "\n", timeout=90)
    return int(done.stdout)
