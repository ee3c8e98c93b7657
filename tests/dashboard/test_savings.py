from __future__ import annotations

import pytest

from genesis_stack.dashboard.savings import MONTH, YEAR, price, savings
from genesis_stack.dashboard.tokens import Served, Tokens, month_start
from genesis_stack.spec.cost import CloudPrice, Cost

NOW = 1_000_000_000.0
DAY = 86_400.0
TEXT = CloudPrice(input_per_million=2.0, output_per_million=10.0)
COST = Cost(currency="EUR", host_per_month=30.0, cloud={"text": TEXT})


def served(days: float, millions: float = 1.0) -> Served:
    """So many million tokens each way, in the last days."""
    return Served(NOW - days * DAY, prompt=millions * 1e6, completion=millions * 1e6, cached=0.0)


def test_every_kind_of_token_has_its_price() -> None:
    """Cached prompt tokens cost what prompt tokens do, unless the stack says otherwise."""
    tokens = Served(NOW, prompt=3e6, completion=1e6, cached=1e6)
    assert price(tokens, TEXT) == pytest.approx(3 * 2 + 10)
    cheaper = CloudPrice(input_per_million=2.0, cached_input_per_million=0.5, output_per_million=10.0)
    assert price(tokens, cheaper) == pytest.approx(2 * 2 + 0.5 + 10)


def test_the_host_is_paid_for_the_time_that_was_counted() -> None:
    """Ten days of tokens stand against ten days of the host, not against a month of it."""
    found = savings(Tokens("a test", {"text": served(10)}), COST, NOW)
    assert found.elsewhere == pytest.approx(12.0)
    assert found.host == pytest.approx(30 * 10 * DAY / MONTH)
    assert found.saved == pytest.approx(12.0 - 30 * 10 * DAY / MONTH)
    assert found.year == pytest.approx(12.0 / 10 * YEAR / DAY - 12 * 30)


def test_models_that_count_for_different_times_are_projected_each_by_its_own() -> None:
    """A model that was restarted yesterday does not drag the rate of the other down."""
    cost = Cost(host_per_month=0, cloud={"text": TEXT, "other": TEXT})
    tokens = Tokens("a test", {"text": served(10), "other": served(2, millions=0.2)})
    assert savings(tokens, cost, NOW).year == pytest.approx((12.0 / 10 + 2.4 / 2) * YEAR / DAY)


def test_a_month_that_has_barely_begun_is_not_projected() -> None:
    """The note says why."""
    found = savings(Tokens("a test", {"text": served(0.9)}), COST, NOW)
    assert found.year is None
    assert found.saved is not None
    assert any("no projection" in note for note in found.notes)


def test_a_host_that_costs_more_than_the_cloud_is_said_so() -> None:
    """Savings can be negative."""
    found = savings(Tokens("a test", {"text": served(10, millions=0.001)}), COST, NOW)
    assert found.saved is not None
    assert found.saved < 0


def test_without_declared_prices_nothing_is_invented() -> None:
    """Tokens are counted, money is not."""
    tokens = Tokens("a test", {"text": served(10)})
    found = savings(tokens, None, NOW)
    assert (found.elsewhere, found.host, found.saved, found.year) == (None, None, None, None)
    assert found.bills[0].served == tokens.served["text"]
    assert "no prices" in found.notes[-1]


def test_a_model_without_a_price_is_named_and_counts_for_nothing() -> None:
    """The others are reckoned."""
    tokens = Tokens("a test", {"text": served(10), "other": served(10)}, ("something is missing",))
    found = savings(tokens, COST, NOW)
    assert found.elsewhere == pytest.approx(12.0)
    assert found.notes[0] == "something is missing"
    assert "cost.cloud.other" in found.notes[1]


def test_months_begin_at_midnight_utc() -> None:
    """1 000 000 000 is 2001-09-09 01:46:40."""
    assert NOW - month_start(NOW) == 8 * DAY + 3600 + 46 * 60 + 40
