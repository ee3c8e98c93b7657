"""What one alert is made of, and the series that prove that it fires and that it stays silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from genesis_stack.spec.model import Model, Stack
from genesis_stack.spec.monitoring import Severity

JOB: Final = "genesis"
"""Job of the model servers."""
HOST_JOB: Final = "genesis-host"
"""Job of the exporter that looks at the host."""
GATEWAY_JOB: Final = "genesis-gateway"
"""Job of the gateway's HAProxy."""
HOST_INSTANCE: Final = "exporter"
"""What the exporter's target is called in tests."""
SCRAPES: Final = 20
"""Scrapes that a rate looks back on: 5 minutes at an interval of 15 seconds."""

Series = Mapping[str, tuple[float, float]]
"""Series of a test → its first value, and what each scrape adds to it."""

SECONDS: Final = '{{ printf "%.4g" $value }} s'
SHARE: Final = "{{ $value | humanizePercentage }}"
NUMBER: Final = '{{ printf "%.3g" $value }}'


@dataclass(frozen=True, slots=True)
class Body:
    """What an alert looks for.

    `description` may hold one of SECONDS, SHARE and NUMBER; in the case that fires they show as `shown`.
    `labels` are those that the expression itself leaves on the alert. `fires` is one set of series under
    which it must fire, `silent` are several under which it must not.
    """

    expr: str
    summary: str
    description: str
    fires: Series
    silent: tuple[Series, ...]
    shown: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """One alerting rule, as it is rendered; `model` is empty where it is about the host."""

    alert: str
    model: str
    severity: Severity
    hold: float
    runbook: str
    body: Body

    @property
    def labels(self) -> dict[str, str]:
        """What Alertmanager routes by, beside the labels of the expression."""
        model = {"model": self.model} if self.model else {}
        return {"severity": self.severity, **model}


@dataclass(frozen=True, slots=True)
class Watched:
    """What a rule is about: one model of a stack, or its host when `name` is empty.

    `step` is the scrape interval in seconds.
    """

    stack: Stack
    name: str
    step: float

    @property
    def model(self) -> Model:
        """The model's part of the stack."""
        return self.stack.models[self.name]

    @property
    def window(self) -> str:
        """What rates look back on."""
        return span(self.step * SCRAPES)

    @property
    def instance(self) -> str:
        """What its target is called in tests."""
        return f"{self.name}.test" if self.name else HOST_INSTANCE

    def metric(self, name: str, *matchers: str) -> str:
        """A selector of the server's own metric."""
        return selector(name, f'job="{JOB}"', f'model="{self.name}"', *matchers)

    def sample(self, name: str, *labels: str) -> str:
        """A series of the server's own metric, for a test."""
        return selector(name, f'instance="{self.instance}"', f'job="{JOB}"', f'model="{self.name}"', *labels)

    def host_metric(self, name: str) -> str:
        """A selector of what the exporter says: about the model, or about the host."""
        return selector(name, f'job="{HOST_JOB}"', f'model="{self.name}"')

    def host_sample(self, name: str) -> str:
        """A series of the exporter, for a test."""
        model = (f'model="{self.name}"',) if self.name else ()
        return selector(name, f'instance="{HOST_INSTANCE}"', f'job="{HOST_JOB}"', *model)


def selector(name: str, *matchers: str) -> str:
    """A metric with label matchers, or a series with labels."""
    return f"{name}{{{','.join(matchers)}}}"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A built-in alert before it is tuned.

    `limit` gives its threshold from a model's promises and budget; where it gives none there is no promise,
    and no rule. `hold` is how many seconds it must be true before anyone is told.
    """

    name: str
    severity: Severity
    hold: float
    limit: Callable[[Watched], float | None]
    build: Callable[[Watched, float], Body]


def always(limit: float) -> Callable[[Watched], float]:
    """The same threshold for every model."""
    return lambda _: limit


def span(seconds: float) -> str:
    """A Prometheus duration, in the largest unit that is exact; milliseconds are the smallest."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


def number(value: float) -> str:
    """A number as PromQL and the tests' series take it, exact to 9 digits."""
    return f"{value:.9g}"


def show_seconds(value: float) -> str:
    """What SECONDS shows."""
    return f"{value:.4g} s"


def show_share(value: float) -> str:
    """What SHARE shows; see humanizePercentage among Prometheus's template functions."""
    return f"{value * 100:.4g}%"


def show_number(value: float) -> str:
    """What NUMBER shows."""
    return f"{value:.3g}"
