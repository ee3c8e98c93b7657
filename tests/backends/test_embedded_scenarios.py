"""The shared scenarios on the embedded backend, with the real server and the real small model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import free_port

from backends.here import Here
from backends.scenarios import SCENARIOS, Machine

pytestmark = [pytest.mark.model, pytest.mark.embedded, pytest.mark.timeout(180)]


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


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_embedded(scenario: Callable[[Machine], None], machine: Machine) -> None:
    """Each scenario holds without systemd."""
    scenario(machine)
