"""Burn rates of the error budget: how fast failures use up what a promise allows for.

Two windows each, so that an alert comes soon and goes soon: the long one says that it matters, the short
one that it still happens. Factors and windows are those of the SRE Workbook, chapter 5, "Alerting on SLOs".
At 14.4 times, 2 % of a month's budget go in an hour; at 6 times, 5 % in 6 hours; at 3 and 1, 10 % in 1 and
3 days.
"""

from __future__ import annotations

from typing import Final

from genesis_stack.render.monitoring.rule import SHARE, Alarm, Body, Series, Watched, number, show_share
from genesis_stack.render.monitoring.serving import error_share

PAGES: Final = ((14.4, "1h", "5m"), (6.0, "6h", "30m"))
TICKETS: Final = ((3.0, "1d", "2h"), (1.0, "3d", "6h"))
"""(Factor, long window, short window)."""


MOST: Final = 0.9
"""Share of failing requests that burns any budget: 14.4 times a generous one would be more than all."""


def _burning(
    on: Watched, limit: float, speeds: tuple[tuple[float, str, str], ...], *, when: str, failed: float
) -> Body:
    reachable = [(min(factor * limit, MOST), long, short) for factor, long, short in speeds]
    parts = (
        f"({error_share(on, long)} > {number(share)} and {error_share(on, short)} > {number(share)})"
        for share, long, short in reachable
    )

    def failing(share: float) -> Series:
        route = 'route="/v1/chat/completions"'
        return {
            on.sample("genesis_http_requests_total", route, 'status="500"'): (0, 100 * share),
            on.sample("genesis_http_requests_total", route, 'status="200"'): (0, 100 * (1 - share)),
        }

    return Body(
        expr=" or ".join(parts),
        summary=f"{on.name} uses up its error budget {when}",
        description=f"{SHARE} of the requests fail; {show_share(limit)} are allowed for in the long run.",
        fires=failing(failed),
        silent=(failing(limit / 2), failing(0)),
        shown=show_share(failed),
        labels={"instance": on.instance},
    )


def _page(on: Watched, limit: float) -> Body:
    return _burning(on, limit, PAGES, when="within hours", failed=(1 + MOST) / 2)


def _ticket(on: Watched, limit: float) -> Body:
    below_a_page = (limit + min(PAGES[-1][0] * limit, MOST)) / 2
    return _burning(on, limit, TICKETS, when="within days", failed=below_a_page)


BURNING: Final = (
    Alarm("ErrorBudgetBurn", "page", 120, lambda on: on.model.slo.error_rate, _page),
    Alarm("ErrorBudgetBurn", "ticket", 900, lambda on: on.model.slo.error_rate, _ticket),
)
