"""Several hosts from one file: which models run where, and what differs there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from genesis_stack.spec.fields import Address, Frozen, Line, Many, Name, Pattern, Port
from genesis_stack.spec.runtime import EngineSettings, Limits, Rollout, Slo
from genesis_stack.spec.security import Security
from genesis_stack.spec.units import ByteSize

MachineId = Annotated[
    str, Pattern(r"^[0-9a-f]{32}$", "a machine id: 32 hexadecimal digits, as in /etc/machine-id")
]
HostName = Annotated[
    str,
    Pattern(
        r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
        "a host name",
    ),
]
SshTarget = Annotated[
    str,
    Pattern(r"^ssh://([A-Za-z_][A-Za-z0-9_.-]*@)?[A-Za-z0-9.-]+(:[0-9]{1,5})?$", "ssh://[user@]host[:port]"),
]


class Differences(Frozen):
    """Settings that differ on a host; an empty one is as if it were not there."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: given for key, given in value.items() if given is not None or key not in cls.model_fields
        }


class BudgetOverride(Differences):
    """Parts of a budget that differ on a host."""

    memory: ByteSize | None = Field(default=None, gt=0, description="Most memory.")
    cpus: float | None = Field(default=None, gt=0, le=1024, description="Most CPU time, in cores.")
    tasks: int | None = Field(default=None, ge=8, le=100_000, description="Most threads and processes.")


class Override(Differences):
    """What differs on one host; single settings replace the model's, the others stay."""

    port: Port | None = Field(default=None, description="Port.")
    listen: Address | None = Field(default=None, description="Address to listen on.")
    engine: EngineSettings | None = Field(default=None, description="Engine settings that differ.")
    budget: BudgetOverride | None = Field(default=None, description="Parts of the budget that differ.")
    slo: Slo | None = Field(default=None, description="Promises that differ.")
    rollout: Rollout | None = Field(default=None, description="Rollout settings that differ.")
    limits: Limits | None = Field(default=None, description="Limits that differ.")
    security: Security | None = Field(default=None, description="Sandbox settings that differ.")


class Host(Frozen):
    """One machine; it recognises itself by machine id or host name."""

    machine_id: MachineId | None = Field(default=None, description="Its /etc/machine-id.")
    hostname: HostName | None = Field(
        default=None, description="Its host name; absent: the key of this entry."
    )
    address: SshTarget | None = Field(
        default=None, description="How other machines reach it, for status and checks."
    )
    listen: Address | None = Field(
        default=None, description="Address that all models listen on here; absent: each its own."
    )
    models: Many[Name] | None = Field(default=None, description="Models that run here; absent: all.")
    overrides: dict[Name, Override] = Field(default_factory=dict, description="What differs here, by model.")
    reserve: ByteSize | None = Field(
        default=None, description="Memory kept free here; absent: defaults.reserve."
    )
    description: Line = Field(default="", description="What this machine is.")
