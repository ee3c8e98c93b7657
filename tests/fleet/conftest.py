"""The booted fleet, once for all its tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import fleet as booted
from fleet.fleet import Fleet


@pytest.fixture(scope="session")
def fleet(host_root: Path, smollm2: Path) -> Iterator[Fleet]:
    """Three hosts in sync with their repository."""
    with booted.fleet(host_root, smollm2) as found:
        yield found
