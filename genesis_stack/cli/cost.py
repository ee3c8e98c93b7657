"""`genesis-stack cost`: what the host saves against a cloud's price, with the formula."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.api_key import api_key
from genesis_stack.cli.host import AS_JSON, host_options, open_host, say
from genesis_stack.cli.url import url

if TYPE_CHECKING:
    from genesis_stack.dashboard.savings import Savings
    from genesis_stack.dashboard.tokens import Tokens
    from genesis_stack.spec.cost import Cost

HINT = """declare them in the stack, from your invoice and the cloud's price list:
  cost:
    currency: EUR
    host_per_month: <what the host costs a month>
    cloud:
      <model>: {input_per_million: <price>, output_per_million: <price>}"""

ELSEWHERE = "((prompt - cached) x input + cached x cached input + generated x output) / 1,000,000"


@click.command()
@click.argument("stack", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--prometheus", type=url, help="A Prometheus other than the stack's own.")
@AS_JSON
@host_options
def cost(
    *, stack: Path | None, prometheus: str | None, as_json: bool, root: Path | None, backend: str | None
) -> None:
    """Compare what the host costs with what its tokens would cost in a cloud.

    Prices are those of STACK if it is given, else those of the stack that is applied. Tokens are those of
    this month from Prometheus, or, without one, those that the running servers have counted. A server
    that wants a key is shown that of GENESIS_API_KEY, GENESIS_LLM_API_KEY or GENESIS_LLM_API_KEY_FILE.
    """
    from genesis_stack.dashboard.applied import read_applied
    from genesis_stack.dashboard.monitors import Monitors
    from genesis_stack.dashboard.savings import savings
    from genesis_stack.dashboard.tokens import count
    from genesis_stack.spec.load import load

    applied = read_applied(open_host(root, backend).transaction.generations)
    priced = load(stack) if stack is not None else applied.stack
    stated = Monitors.of(applied.stack)
    monitors = Monitors(prometheus or stated.prometheus, None)
    now = time.time()
    tokens = asyncio.run(count(applied.services, monitors, now, api_key()))
    prices = priced.cost if priced is not None else None
    found = savings(tokens, prices, now)
    if as_json:
        click.echo(json.dumps(_data(tokens, found, prices), indent=2))
        return
    click.echo(_text(tokens, found, prices))
    for note in found.notes:
        say(f"note: {note}")
    if prices is None:
        say(HINT)


def _data(tokens: Tokens, found: Savings, prices: Cost | None) -> dict[str, object]:
    currency = prices.currency if prices is not None else None
    return {"schema_version": 1, "source": tokens.source, "currency": currency, **asdict(found)}


def _text(tokens: Tokens, found: Savings, prices: Cost | None) -> str:
    rows: list[tuple[str, ...]] = [("MODEL", "PROMPT", "CACHED", "GENERATED", "SINCE", "ELSEWHERE")]
    for bill in found.bills:
        served = bill.served
        numbers = (f"{value:,.0f}" for value in (served.prompt, served.cached, served.completion))
        rows.append((bill.model, *numbers, _moment(served.since), _money(bill.elsewhere, prices)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"tokens from {tokens.source}, until {_moment(found.until)}"]
    lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if prices is not None and found.since is not None:
        lines += ["", *_formula(found, prices)]
    return "\n".join(lines)


def _formula(found: Savings, prices: Cost) -> list[str]:
    from genesis_stack.dashboard.savings import MONTH

    assert found.since is not None  # noqa: S101 -- for the type checker
    days, month = (found.until - found.since) / 86_400, MONTH / 86_400
    host = _money(prices.host_per_month, prices)
    lines = [
        f"elsewhere  {_money(found.elsewhere, prices)} = {ELSEWHERE}",
        f"host       {_money(found.host, prices)} = {host} a month x {days:.2f} / {month:.2f} days",
        f"saved      {_money(found.saved, prices)} = elsewhere - host, since {_moment(found.since)}",
    ]
    if found.year is not None:
        year = f"elsewhere a day x 365.25 - {host} x 12"
        lines.append(f"a year     {_money(found.year, prices)} = {year}, if it goes on like this")
    return lines


def _money(amount: float | None, prices: Cost | None) -> str:
    if amount is None or prices is None:
        return "-"
    small = 0 < abs(amount) < 0.01  # noqa: PLR2004 -- below a cent, two digits would say nothing
    return f"{amount:.5f} {prices.currency}" if small else f"{amount:,.2f} {prices.currency}"


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
