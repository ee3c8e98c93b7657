"""The Stack: the validated content of one stack.yaml.

Every class is frozen and refuses unknown keys. Names, ranges and relations between fields are checked
here; what needs the host (free memory, free ports) or the model files (KV cache size) is not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from genesis_stack.spec.units import ByteSize, Duration, Fraction, Rate

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$")]
"""A name that is safe in a unit file, a path, a URL and a metric label."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Frozen(BaseModel):
    """Base of every part of a Stack: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Weights(Frozen):
    """One model file: where it comes from and what it must hash to."""

    source: str
    sha256: Digest
    revision: str | None = None
    size: ByteSize | None = None


class EngineSettings(Frozen):
    """How llama.cpp is set up; `auto` values are chosen from the budget."""

    context: int = Field(default=4096, ge=64, le=1_048_576)
    parallel: int = Field(default=4, ge=1, le=64)
    threads: int | Literal["auto"] = "auto"
    threads_batch: int | Literal["auto"] = "auto"
    batch: int = Field(default=512, ge=32, le=8192)
    kv_cache: Literal["f16", "q8_0"] = "f16"
    flash_attention: bool = True
    mlock: bool = False
    speculation: Literal["off", "ngram"] = "off"
    queue_requests: int = Field(default=64, ge=1)
    queue_tokens: int = Field(default=65536, ge=1)
    step_target: Duration = Field(default=0.12)
    prefix_cache: bool = True
    prefix_cache_disk: ByteSize = Field(default=0)


class Budget(Frozen):
    """What one model may use of its host: the kernel enforces it under systemd."""

    memory: ByteSize
    cpus: float = Field(gt=0)
    tasks: int = Field(default=64, ge=8)


class Slo(Frozen):
    """What the operator promises; load tests and alerts measure against it."""

    ttft_p95: Duration | None = None
    latency_p95: Duration | None = None
    itl_p99: Duration | None = None
    tokens_per_second: float | None = Field(default=None, gt=0)
    error_rate: Fraction | None = None


class Rollout(Frozen):
    """How a change reaches a running model, and when it counts as good."""

    strategy: Literal["queue", "blue_green"] = "queue"
    min_healthy: Duration = Field(default=10.0)
    deadline: Duration = Field(default=300.0)


class Limits(Frozen):
    """Bounds on single requests of one model."""

    request_timeout: Duration = Field(default=600.0)
    drain_timeout: Duration = Field(default=30.0)
    max_body: ByteSize = Field(default=1024 * 1024)


class Model(Frozen):
    """One served model: its files, port, budget, sandbox, limits and SLOs."""

    description: str = ""
    license: str | None = None
    task: Literal["text", "vision", "embedding", "rerank"] = "text"
    tags: tuple[Name, ...] = ()
    port: Port
    listen: str | None = None
    weights: Weights
    projector: Weights | None = None
    engine: EngineSettings = EngineSettings()
    budget: Budget
    slo: Slo = Slo()
    rollout: Rollout | None = None
    limits: Limits = Limits()
    security: Security | None = None


class Defaults(Frozen):
    """What models share unless they say otherwise."""

    user: Name = "genesis"
    listen: str = "127.0.0.1"
    rollout: Rollout = Rollout()
    reserve: ByteSize = Field(default=1024**3)


class Security(Frozen):
    """A sandbox profile, and single directives on top of it (null lifts one)."""

    profile: Literal["strict", "standard"] = "strict"
    max_exposure: float | None = Field(default=None, ge=0, le=10)
    directives: dict[str, str | list[str] | None] = Field(default_factory=dict)


class Client(Frozen):
    """A declared API consumer: its limits and the models it may use. Its keys are never in the file."""

    models: tuple[Name, ...]
    requests_per_minute: int = Field(default=60, ge=1)
    tokens_per_minute: int = Field(default=40_000, ge=1)
    concurrent: int = Field(default=8, ge=1)
    require_signature: bool = False
    guard: Literal["off", "flag", "block"] = "flag"


class Stack(Frozen):
    """The validated content of one stack.yaml."""

    api_version: Literal["genesis.stack/v1"]
    name: Name
    defaults: Defaults = Defaults()
    models: dict[Name, Model]
    security: Security = Security()
    clients: dict[Name, Client] = Field(default_factory=dict)
    # monitoring, alerts, load, hosts, gitops: see their modules
