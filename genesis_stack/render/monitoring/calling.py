"""The built-in alerts about those who call: wrong keys, exhausted limits, suspicious prompts."""

from __future__ import annotations

from typing import Final

from genesis_stack.render.monitoring.rule import NUMBER, Alarm, Body, Watched, always, number, show_number


def _spike(
    on: Watched,
    limit: float,
    series: str,
    *,
    of: str,
    summary: str,
    description: str,
    client: str = "",
) -> Body:
    """More than so many events a minute: `series` is the selector, `of` one of its series in a test.

    With `client` each caller is counted alone, in the test the one of this name.
    """
    by = "instance, client" if client else "instance"
    per_step = limit * on.step / 60
    return Body(
        expr=f"sum by ({by}) (rate({series}[{on.window}])) * 60 > {number(limit)}",
        summary=f"{on.name}: {summary}",
        description=f"{NUMBER} a minute {description}",
        fires={of: (0, per_step * 3)},
        silent=({of: (0, per_step / 2)}, {of: (5, 0)}),
        shown=show_number(limit * 3),
        labels={"instance": on.instance, **({"client": client} if client else {})},
    )


def _keys(on: Watched, limit: float) -> Body:
    metric = "genesis_auth_failures_total"
    return _spike(
        on,
        limit,
        on.metric(metric),
        of=on.sample(metric, 'scheme="bearer"'),
        summary="many requests prove no client",
        description="had no valid key or signature: a broken client, or somebody tries keys.",
    )


def _limits(on: Watched, limit: float) -> Body:
    metric, client = "genesis_rate_limited_total", "orchestrator"
    return _spike(
        on,
        limit,
        on.metric(metric),
        of=on.sample(metric, f'client="{client}"', 'limit="tokens"'),
        summary="{{ $labels.client }} asks for more than it may",
        description="of its requests were refused by its limits.",
        client=client,
    )


def _injections(on: Watched, limit: float) -> Body:
    metric = "genesis_guard_verdicts_total"
    return _spike(
        on,
        limit,
        on.metric(metric, 'verdict=~"flagged|blocked"'),
        of=on.sample(metric, 'verdict="flagged"'),
        summary="many prompts look like injections",
        description="were flagged or blocked.",
    )


CALLING: Final = (
    Alarm("AuthFailureSpike", "ticket", 60, always(10), _keys),
    Alarm("RateLimitedClient", "info", 600, always(10), _limits),
    Alarm("InjectionSpike", "ticket", 60, always(10), _injections),
)
