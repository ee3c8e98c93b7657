"""The Stack: the validated content of one stack.yaml.

Every class is frozen and refuses unknown keys. Names and ranges are checked here, relations between
fields in `checks`; what needs the host (free memory, free ports) or the model files (KV cache size) in
neither.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from genesis_stack.spec.alerts import Alert
from genesis_stack.spec.clients import Client, ClientKey
from genesis_stack.spec.cost import Cost
from genesis_stack.spec.fields import Address, AlertName, Digest, Frozen, Line, Many, Name, Port
from genesis_stack.spec.files import Adapter, Weights
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.hosts import Host
from genesis_stack.spec.http import Gateway, Http
from genesis_stack.spec.loadtest import LoadProfile
from genesis_stack.spec.monitoring import Monitoring
from genesis_stack.spec.runtime import Budget, EngineSettings, Limits, Rollout, Slo
from genesis_stack.spec.security import Security
from genesis_stack.spec.units import DURATION_PATTERN, ByteSize, parse_duration

__all__ = [
    "Adapter",
    "Alert",
    "Budget",
    "Client",
    "ClientKey",
    "Defaults",
    "Digest",
    "EngineSettings",
    "Frozen",
    "GitOps",
    "Host",
    "Limits",
    "LoadProfile",
    "Model",
    "Monitoring",
    "Name",
    "Port",
    "Rollout",
    "Security",
    "Slo",
    "Stack",
    "Weights",
]


def _keep_loaded(value: object) -> object:
    if value == "always":
        return value
    try:
        return parse_duration(value)
    except PydanticCustomError:
        raise PydanticCustomError("keep_loaded", "must be always, or a duration such as 10m") from None


KeepLoaded = Annotated[
    float | Literal["always"],
    BeforeValidator(_keep_loaded),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "always"},
                {"type": "string", "pattern": DURATION_PATTERN},
                {"type": "number", "minimum": 0},
            ]
        }
    ),
]


class Model(Frozen):
    """One served model: its files, port, budget, sandbox, limits and SLOs."""

    description: Line = Field(default="", description="What it is and what it is for, in one line.")
    license: Line | None = Field(default=None, description="The licence of the weights.")
    task: Literal["text", "vision", "embedding", "rerank"] = Field(
        default="text", description="What it does; vision needs a projector."
    )
    tags: Many[Name] = Field(default=(), description="Words that clients can choose a model by.")
    port: Port = Field(description="TCP port of its OpenAI-compatible API; each model has its own.")
    listen: Address | None = Field(default=None, description="Address to listen on; absent: defaults.listen.")
    weights: Weights = Field(description="The model file.")
    projector: Weights | None = Field(
        default=None, description="The image encoder (mmproj) of a vision model."
    )
    draft: Weights | None = Field(
        default=None, description="A small model with the same vocabulary that guesses tokens ahead."
    )
    adapters: dict[Name, Adapter] = Field(
        default_factory=dict, description="LoRA adapters by name, requested as model:adapter."
    )
    engine: EngineSettings = Field(default=EngineSettings(), description="How llama.cpp is set up.")
    budget: Budget = Field(description="What it may use of its host.")
    keep_loaded: KeepLoaded = Field(
        default="always", description="Idle time after which it leaves memory until the next request."
    )
    group: Name | None = Field(
        default=None,
        description="Models of one group are never in memory together; each needs a keep_loaded time.",
    )
    slo: Slo = Field(default=Slo(), description="What the operator promises.")
    rollout: Rollout | None = Field(default=None, description="How changes reach it; the rest from defaults.")
    limits: Limits = Field(default=Limits(), description="Bounds on single requests.")
    security: Security | None = Field(
        default=None, description="Sandbox settings that differ from the stack's."
    )


class Defaults(Frozen):
    """What models share unless they say otherwise."""

    user: Name = Field(default="genesis", description="System user of the servers.")
    listen: Address = Field(default="127.0.0.1", description="Address to listen on.")
    rollout: Rollout = Field(default=Rollout(), description="How changes reach running models.")
    reserve: ByteSize = Field(
        default=1024**3, description="Memory of the host that stays free for everything else."
    )


class Stack(Frozen):
    """The validated content of one stack.yaml."""

    api_version: Literal["genesis.stack/v1"] = Field(description="Version of this format.")
    name: Name = Field(description="Name of the stack.")
    defaults: Defaults = Field(default=Defaults(), description="What models share.")
    models: dict[Name, Model] = Field(min_length=1, description="The served models by name.")
    security: Security = Field(default=Security(), description="The sandbox of every model.")
    clients: dict[Name, Client] = Field(
        default_factory=dict, description="Who may call; without any, only this machine can."
    )
    http: Http = Field(default=Http(), description="The HTTP surface of the servers.")
    gateway: Gateway | None = Field(default=None, description="One address in front of all models.")
    monitoring: Monitoring = Field(default=Monitoring(), description="What watches the models.")
    alerts: dict[AlertName, Alert] = Field(
        default_factory=dict, description="Entries tune, silence or add to the built-in alerts."
    )
    load: dict[Name, LoadProfile] = Field(default_factory=dict, description="Load tests by name.")
    hosts: dict[Name, Host] = Field(
        default_factory=dict,
        description="Machines that share this file; absent: this machine runs everything.",
    )
    gitops: GitOps | None = Field(default=None, description="What the agent of a host follows.")
    cost: Cost | None = Field(default=None, description="Prices that savings are reckoned with.")
