"""A repository and a host that follows it, in two states; and somebody who is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.followed import Followed, host_that_follows
from gitops.listener import Listener, listening


@pytest.fixture
def fresh(tmp_path: Path) -> Followed:
    """Nothing is applied yet."""
    return Followed(tmp_path)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Followed, Path]:
    """A host that has followed its first revision, and a copy of all its files."""
    root = tmp_path_factory.mktemp("followed")
    first = host_that_follows(root / "now")
    shutil.copytree(first.root, root / "then", symlinks=True)
    return first, root / "then"


@pytest.fixture
def followed(begun: tuple[Followed, Path]) -> Followed:
    """Model `a` serves as the first, signed revision says: one host, its files put back each time."""
    host, then = begun
    shutil.rmtree(host.root)
    shutil.copytree(then, host.root, symlinks=True)
    host.world.fetch()
    host.world.told.clear()
    host.more.clear()
    return host


@pytest.fixture
def listener() -> Iterator[Listener]:
    """On a port of its own."""
    with listening() as told:
        yield told
