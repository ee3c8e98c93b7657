"""Alerts: the built-in set is on; an entry tunes one, silences one, or adds one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from genesis_stack.spec.fields import Frozen, Line, Many, Name, Pattern, Url
from genesis_stack.spec.monitoring import Severity
from genesis_stack.spec.units import (
    DURATION_PATTERN,
    FRACTION_PATTERN,
    SIZE_PATTERN,
    Duration,
    parse_duration,
    parse_fraction,
    parse_size,
)

Unit = Literal["seconds", "fraction", "bytes", "number"]

BUILT_IN: Final[dict[str, Unit | None]] = {
    "AgentFetchFailed": None,
    "AgentOutOfSync": None,
    "AgentSilent": "seconds",
    "AgentSuspended": None,
    "AuditFailing": None,
    "AuthFailureSpike": "number",
    "CPUThrottled": "fraction",
    "ApplyFailed": None,
    "DiskFillingUp": "fraction",
    "Drifted": None,
    "ErrorBudgetBurn": "fraction",
    "GatewayDown": None,
    "GatewayQueueLong": "fraction",
    "GatewayServerDown": None,
    "HighErrorRate": "fraction",
    "HighLatency": "seconds",
    "HighMemoryUsage": "fraction",
    "InjectionSpike": "number",
    "KVCacheFull": "fraction",
    "LowThroughput": "number",
    "ModelIntegrity": None,
    "NotReady": None,
    "QueueSaturated": "fraction",
    "RateLimitedClient": "number",
    "RestartLoop": "number",
    "RevisionFailed": None,
    "RevisionRefused": None,
    "ServerDown": None,
    "SlowFirstToken": "seconds",
    "TargetMissing": None,
    "Watchdog": None,
}
"""Alerts that come with the stack, and what their thresholds count; spikes count per minute."""

ABOUT_HOST: Final = frozenset(
    {
        "AgentFetchFailed",
        "AgentOutOfSync",
        "AgentSilent",
        "AgentSuspended",
        "ApplyFailed",
        "DiskFillingUp",
        "GatewayDown",
        "GatewayQueueLong",
        "GatewayServerDown",
        "RevisionFailed",
        "RevisionRefused",
        "Watchdog",
    }
)
"""Those of them that are about no model, so that there is none to choose."""

HIGH_MEMORY: Final = 0.95
"""Share of a memory budget from which on HighMemoryUsage is told, unless the stack says otherwise."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit in its canonical unit: seconds, a fraction of 1, bytes, or a plain number."""

    value: float
    unit: Unit

    def written(self) -> str | float:
        """As it may stand in a stack."""
        match self.unit:
            case "seconds":
                return f"{self.value * 1000:.6f}".rstrip("0").rstrip(".") + "ms"
            case "fraction":
                return f"{self.value * 100:.6f}".rstrip("0").rstrip(".") + "%"
            case "bytes":
                return f"{self.value:.0f}B"
            case "number":
                return self.value


def _threshold(value: object) -> object:
    match value:
        case int() | float() if not isinstance(value, bool) and abs(value) <= MOST:
            return Threshold(float(value), "number")
        case str() if re.fullmatch(FRACTION_PATTERN, value):
            return Threshold(parse_fraction(value), "fraction")
        case str() if re.fullmatch(DURATION_PATTERN, value):
            return Threshold(parse_duration(value), "seconds")
        case str() if re.fullmatch(SIZE_PATTERN, value):
            return Threshold(float(parse_size(value)), "bytes")
    raise PydanticCustomError("threshold", "must be a limit such as 10s, 1%, 7GiB or a number")


MOST: Final = 1e15

Limit = Annotated[
    Threshold,
    BeforeValidator(_threshold),
    PlainSerializer(Threshold.written),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": FRACTION_PATTERN},
                {"type": "string", "pattern": DURATION_PATTERN},
                {"type": "string", "pattern": SIZE_PATTERN},
                {"type": "number", "minimum": -MOST, "maximum": MOST},
            ]
        }
    ),
]

Expression = Annotated[
    str,
    Pattern(
        r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,4000}$",
        "a PromQL expression of at most 4000 characters",
    ),
]


class Alert(Frozen):
    """One alert: an entry of a built-in name tunes it, any other name adds one and needs `expr`."""

    enabled: bool = Field(default=True, description="false silences it for good.")
    threshold: Limit | None = Field(
        default=None, description="Limit in the alert's own unit; absent: from the SLOs and budgets."
    )
    for_: Duration | None = Field(
        default=None, alias="for", description="How long it must hold before anyone is told."
    )
    severity: Severity | None = Field(
        default=None, description="page wakes someone, ticket waits for the day."
    )
    models: Many[Name] = Field(default=(), description="Only these models; absent: all.")
    expr: Expression | None = Field(default=None, description="An added alert's PromQL expression.")
    summary: Line | None = Field(default=None, description="One line that says what is wrong.")
    runbook: Url | None = Field(default=None, description="Page that says what to do.")
