"""Fixtures of the tests that need a real host; `host` is a freshly booted one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest

from hosts.debian_root import debian_root
from hosts.installation import WheelHouse, boot_installed
from hosts.installation import wheel_house as collected
from hosts.nspawn import Host, boot

TOOLS = ("debootstrap", "nsenter", "setpriv", "systemd-nspawn")
PROJECT = Path(__file__).parents[2]
PYTHON = tuple(sorted({PROJECT, Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")}))
"""What `genesis-stack` and `genesis-serve` of this very environment need to run inside a host."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of hosts the time that building the root, or compiling wheels, takes on its first use."""
    for item in items:
        if item.get_closest_marker("host") and not item.get_closest_marker("timeout"):
            installs = "wheel_house" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.timeout(2700 if installs else 1200))


@pytest.fixture(scope="session")
def host_root() -> Path:
    """The root that hosts boot from; without root rights or tools the test is skipped, in CI it fails."""
    lacks = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        lacks.append("root rights")
    if lacks:
        reason = f"test hosts need {', '.join(lacks)} (packages debootstrap, systemd-container, util-linux)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return debian_root()


@pytest.fixture(scope="session")
def boot_host(host_root: Path) -> Callable[[], AbstractContextManager[Host]]:
    """Boot one more host each time it is called; the project and its Python are bound in, read-only."""
    return partial(boot, host_root, read_only=PYTHON)


@pytest.fixture
def host(boot_host: Callable[[], AbstractContextManager[Host]]) -> Iterator[Host]:
    """A host of the test's own."""
    with ExitStack() as stack:
        yield stack.enter_context(boot_host())


@pytest.fixture(scope="session")
def wheel_house(tmp_path_factory: pytest.TempPathFactory) -> WheelHouse:
    """The project and all that it needs, as wheels."""
    return collected(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def installed_host(host_root: Path, wheel_house: WheelHouse, smollm2: Path) -> Iterator[Host]:
    """A host of the test's own with genesis-stack installed as the README says, and a model file to serve."""
    with boot_installed(host_root, wheel_house, read_only=[smollm2]) as host:
        yield host
