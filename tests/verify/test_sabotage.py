"""What makes `verify` worth trusting: a host that was broken on purpose, and exactly what it finds."""

from __future__ import annotations

import pytest

from verify.pair import Pair
from verify.sabotages import SABOTAGES, violated

pytestmark = [pytest.mark.host, pytest.mark.model]


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_is_found_where_it_is(name: str, pair: Pair) -> None:
    """Exactly the right checks fail, and once it is undone the next one finds only its own."""
    sabotage = SABOTAGES[name]
    sabotage.do(pair)
    try:
        assert set(violated(pair.verify())) == sabotage.found
    finally:
        sabotage.undo(pair)
