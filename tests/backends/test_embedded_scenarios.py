"""The shared scenarios on the embedded backend, with the real server and the real small model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import free_port

from backends import scenarios
from backends.here import Here
from backends.scenarios import SCENARIOS, Machine

pytestmark = [pytest.mark.model, pytest.mark.timeout(180)]


@pytest.fixture
def machine(smollm2: Path) -> Iterator[Machine]:
    """A fresh tree, with a path short enough for unix sockets, emptied at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        here = Here(Path(folder), port, str(smollm2))
        try:
            yield here
        finally:
            here.cli("destroy", "--yes")


ALWAYS = (
    scenarios.a_second_apply_has_nothing_to_do,
    scenarios.a_change_under_load_loses_no_request,
    scenarios.a_server_that_is_not_ready_in_time_is_rolled_back,
)
"""The others are left to the runs that have the time."""
PARAMETERS = [
    pytest.param(one, id=one.__name__, marks=() if one in ALWAYS else pytest.mark.slow) for one in SCENARIOS
]


@pytest.mark.parametrize("scenario", PARAMETERS)
def test_embedded(scenario: Callable[[Machine], None], machine: Machine) -> None:
    """Each scenario holds without systemd."""
    scenario(machine)
