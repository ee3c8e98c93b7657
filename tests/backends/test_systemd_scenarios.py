"""The shared scenarios on the systemd backend, each in a booted host of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hosts.nspawn import Host

from backends.booted import Booted
from backends.scenarios import SCENARIOS, Machine

pytestmark = [pytest.mark.host, pytest.mark.model]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_systemd(scenario: Callable[[Machine], None], host: Host, smollm2: Path) -> None:
    """Each scenario holds with systemd."""
    scenario(Booted(host, str(smollm2)))
