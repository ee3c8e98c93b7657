"""The sandbox of a served model: a profile, and single systemd directives on top of it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from genesis_stack.spec.fields import ONE_LINE, Frozen

DIRECTIVES: Final[frozenset[str]] = frozenset(
    """
    AllowedCPUs AllowedMemoryNodes AmbientCapabilities AppArmorProfile BindPaths BindReadOnlyPaths
    CPUSchedulingPolicy CPUSchedulingPriority CPUWeight CapabilityBoundingSet CoredumpFilter DeviceAllow
    DevicePolicy DynamicUser ExecPaths IOReadBandwidthMax IOSchedulingClass IOSchedulingPriority IOWeight
    IOWriteBandwidthMax IPAddressAllow IPAddressDeny InaccessiblePaths KeyringMode LimitAS LimitCORE LimitCPU
    LimitDATA LimitFSIZE LimitLOCKS LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRTPRIO
    LimitRTTIME LimitSIGPENDING LimitSTACK LockPersonality MemoryDenyWriteExecute MemoryHigh MemoryLow
    MemoryMin MemorySwapMax MountAPIVFS MountFlags Nice NoExecPaths NoNewPrivileges OOMPolicy OOMScoreAdjust
    Personality PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivateTmp PrivateUsers ProcSubset
    ProtectClock ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules
    ProtectKernelTunables ProtectProc ProtectSystem ReadOnlyPaths ReadWritePaths RemoveIPC
    RestrictAddressFamilies RestrictFileSystems RestrictNamespaces RestrictNetworkInterfaces RestrictRealtime
    RestrictSUIDSGID RootDirectory SELinuxContext SecureBits SmackProcessLabel SocketBindAllow SocketBindDeny
    SupplementaryGroups SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog
    TemporaryFileSystem TimerSlackNSec UMask
    """.split()  # noqa: SIM905 -- a table of words reads better than ninety quoted lines
)
"""What systemd.exec(5) and systemd.resource-control(5) of systemd 252 offer to confine a service."""

FROM_BUDGET: Final[frozenset[str]] = frozenset({"CPUQuota", "MemoryMax", "TasksMax"})
"""Directives that `budget` sets, so that they are declared in one place."""


def _as_systemd_writes(value: object) -> object:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case str():
            return ONE_LINE.check(value)
        case list() | tuple():
            return tuple(_as_systemd_writes(entry) for entry in value)
        case None:
            return None
    raise PydanticCustomError(
        "directive",
        "must be text, a whole number, true, false, null, or a list of these",
        {"hint": "write the value as systemd.exec(5) does"},
    )


def _name_directives(schema: dict[str, Any]) -> None:
    """Let editors complete the directives' names."""
    schema["propertyNames"] = {"enum": sorted(DIRECTIVES)}


Directive = Annotated[
    str | tuple[str, ...] | None,
    BeforeValidator(_as_systemd_writes),
    WithJsonSchema(
        {
            "type": ["string", "boolean", "integer", "null", "array"],
            "pattern": ONE_LINE.regex,
            "items": {"type": ["string", "boolean", "integer"], "pattern": ONE_LINE.regex},
        }
    ),
]
"""A directive's value; a list is written as one line each, null lifts what the profile sets."""


class Security(Frozen):
    """A sandbox profile, and single directives on top of it (null lifts one)."""

    profile: Literal["strict", "standard"] = Field(
        default="strict",
        description="strict: the server has no network of its own and takes its socket from systemd; "
        "standard: it binds its TCP port itself.",
    )
    max_exposure: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Highest score of `systemd-analyze security` that may be applied.",
    )
    directives: dict[str, Directive] = Field(
        default_factory=dict,
        description="systemd directives that tighten or loosen the profile one at a time; null lifts one.",
        json_schema_extra=_name_directives,
    )
