"""Load tests that cannot succeed, whatever the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from ports import free_port

from genesis_stack.errors import ExitCode
from loadtest.machine import Loaded, check

pytestmark = pytest.mark.timeout(180)


def test_a_server_that_is_not_there_fails_every_request(tmp_path: Path) -> None:
    """Nobody listens: the test fails, and says that nothing was answered."""
    machine = Loaded(tmp_path, free_port(), duration="1s")
    machine.write()
    done, data = machine.load()
    assert done.returncode == ExitCode.VIOLATED
    assert check(data, "answered requests")["measured"] == 0
    assert check(data, "error_rate")["measured"] == 1


def test_a_profile_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    """A wrong name is an error of the configuration, with the right one beside it."""
    machine = Loaded(tmp_path, free_port())
    machine.write()
    done = machine.cli("load", str(machine.stack), "--profile", "smoek")
    assert done.returncode == ExitCode.INVALID_CONFIG
    assert "smoke" in done.stderr
