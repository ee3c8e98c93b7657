"""A repository and a host that follows it, in two states."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.followed import Followed


@pytest.fixture
def fresh(tmp_path: Path) -> Followed:
    """Nothing is applied yet."""
    return Followed(tmp_path)


@pytest.fixture
def followed(fresh: Followed) -> Followed:
    """Model `a` serves as the first, signed revision says."""
    fresh.commit({"a": "one"})
    fresh.by_hand({"a": "one"})
    fresh.follow()
    return fresh
