"""What the tokens that were served would have cost in a cloud, against the price of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from genesis_stack.dashboard.tokens import Served, Tokens
from genesis_stack.spec.cost import CloudPrice, Cost

YEAR: Final = 365.25 * 86_400
MONTH: Final = YEAR / 12
"""Seconds; every month counts the same, so that a short one is not dearer by the day."""
LEAST_SECONDS: Final = 86_400.0
"""Below a day of counting, a projection over a year would be a guess."""
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Bill:
    """The tokens of one model at a cloud's price; None where the stack declares none."""

    model: str
    served: Served
    elsewhere: float | None


@dataclass(frozen=True, slots=True)
class Savings:
    """All models together. Money is in the currency of the stack; None where it cannot be said honestly.

    `host` is the share of the host's price for the time since `since`, `saved` what the cloud would have
    taken beyond it, `year` the same for a year at the present rate.
    """

    until: float
    since: float | None
    bills: tuple[Bill, ...]
    elsewhere: float | None
    host: float | None
    saved: float | None
    year: float | None
    notes: tuple[str, ...]


def price(served: Served, asked: CloudPrice) -> float:
    """What a cloud takes for these tokens; cached ones at their own price where one is declared."""
    cached = min(served.cached, served.prompt)
    for_cached = (
        asked.input_per_million if asked.cached_input_per_million is None else asked.cached_input_per_million
    )
    total = (
        (served.prompt - cached) * asked.input_per_million
        + cached * for_cached
        + served.completion * asked.output_per_million
    )
    return total / MILLION


def savings(tokens: Tokens, cost: Cost | None, now: float) -> Savings:
    """Reckon it up."""
    asked = cost.cloud if cost is not None else {}
    bills = tuple(
        Bill(model, served, price(served, asked[model]) if model in asked else None)
        for model, served in tokens.served.items()
    )
    notes = [*tokens.problems]
    priced = [bill for bill in bills if bill.elsewhere is not None]
    if cost is None or not priced:
        return Savings(now, None, bills, None, None, None, None, (*notes, *_undeclared(cost, bills)))
    notes += _undeclared(cost, bills)
    since = min(bill.served.since for bill in priced)
    elsewhere = sum(bill.elsewhere or 0.0 for bill in priced)
    host = cost.host_per_month * (now - since) / MONTH
    shortest = min(now - bill.served.since for bill in priced)
    year = None
    if shortest >= LEAST_SECONDS:
        rate = sum((bill.elsewhere or 0.0) / (now - bill.served.since) for bill in priced)
        year = rate * YEAR - 12 * cost.host_per_month
    else:
        notes.append("no projection: less than a day has been counted")
    return Savings(now, since, bills, elsewhere, host, elsewhere - host, year, tuple(notes))


def _undeclared(cost: Cost | None, bills: tuple[Bill, ...]) -> list[str]:
    if cost is None:
        return ["no prices are declared, so nothing can be compared"]
    return [
        f"{bill.model}: cost.cloud.{bill.model} declares no price, so its tokens count for nothing"
        for bill in bills
        if bill.elsewhere is None
    ]
