"""The host that the checks are tried on: booted once, since every test leaves it as good as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hosts.nspawn import Host

from verify.pair import Pair, set_up


@pytest.fixture(scope="session")
def pair(boot_host: Callable[[], AbstractContextManager[Host]], smollm2: Path) -> Iterator[Pair]:
    """A good host with two models."""
    with boot_host() as host:
        yield set_up(host, smollm2)
