"""The rendered configuration of one `genesis-serve` process.

`render` writes it as JSON, `genesis-serve` reads it and nothing else. It writes every value, so that what is
on disk is what runs; a default is for configs that lack the field, such as those of an older version.
Secrets are referred to by name.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Digest = str
"""A lower-case SHA-256 in hex, 64 characters."""

KvCacheType = Literal["f16", "q8_0"]
Task = Literal["text", "vision", "embedding", "rerank"]
GuardPolicy = Literal["off", "flag", "block"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRef(_Frozen):
    """A model file that the store has already verified."""

    path: str
    sha256: Digest
    size: int | None = Field(default=None, ge=1, description="bytes; none where only the digest is declared")


class AdapterRef(FileRef):
    """A LoRA adapter; a `scale` of 1 is as trained."""

    scale: float


class EngineConfig(_Frozen):
    """How llama.cpp is set up. Counts are tokens unless said otherwise."""

    context: int = Field(ge=64, description="longest single request, prompt and completion together")
    parallel: int = Field(ge=1, le=256, description="sequences decoded in one batch")
    threads: int = Field(ge=1, description="decode threads")
    threads_batch: int = Field(ge=1, description="prefill threads")
    spin_count: int = Field(
        default=1000,
        ge=0,
        description="turns a thread waits at a barrier before it sleeps, as in GOMP_SPINCOUNT of libgomp",
    )
    batch: int = Field(ge=32, description="most tokens of one llama_decode call")
    kv_cache: KvCacheType
    flash_attention: bool
    mlock: bool
    speculation: Literal["off", "ngram"]
    image_tokens: int = Field(ge=1, description="most tokens of one image; larger ones are scaled down")
    image_memory: int = Field(ge=0, description="bytes of encoded images in memory, in use or kept")
    queue_requests: int = Field(ge=1, description="requests that may wait")
    queue_tokens: int = Field(ge=1, description="prompt tokens that may wait")
    step_target_ms: float = Field(gt=0, description="longest step while others stream: bounds their stall")
    prefix_cache: bool = Field(description="keep finished sequences as cache until the room is needed")
    prefix_cache_ram: int = Field(
        ge=0, description="bytes of host memory for prefixes that left the KV cache"
    )
    prefix_cache_disk: int = Field(ge=0, description="most bytes of it that outlive a restart")
    prefix_cache_dir: str | None = Field(description="where the prefix cache outlives a restart, if anywhere")


GROUP_LOCKS: Final = ("next", "memory")
"""The files below a group's directory: who comes next takes the first, who is in memory holds the second."""


class ResidencyConfig(_Frozen):
    """When the model leaves memory, to come back for the next request."""

    idle_s: float = Field(ge=0, description="seconds without a request")
    group: str | None = Field(
        description="directory of the locks of models that are never in memory together"
    )


class BudgetConfig(_Frozen):
    """What the process may use; `memory` in bytes, `cpus` in cores."""

    memory: int = Field(ge=1)
    cpus: float = Field(gt=0)


class ListenConfig(_Frozen):
    """Where to listen when no socket is inherited (LISTEN_FDS or --fd)."""

    host: str
    port: int = Field(ge=1, le=65535)


class LimitsConfig(_Frozen):
    """Bounds on what one request may ask for."""

    request_timeout_s: float = Field(gt=0, description="deadline of one request, queueing included")
    drain_timeout_s: float = Field(gt=0, description="how long SIGTERM waits for running requests")
    max_body_bytes: int = Field(ge=1)


class TlsConfig(_Frozen):
    """The names of the secrets that hold the PEM certificate chain and its PEM private key."""

    certificate: str
    key: str


class HttpConfig(_Frozen):
    """What the HTTP surface offers, and what one connection may take of it."""

    cors_origins: tuple[str, ...] = Field(description="web pages that may call")
    docs: bool = Field(description="whether /openapi.json and /docs exist")
    metrics: Literal["loopback", "clients"] = Field(description="who may read /metrics")
    tls: TlsConfig | None = Field(description="none: plain HTTP")
    max_connections: int = Field(ge=1, description="open connections, all peers together")
    max_connections_per_peer: int = Field(ge=1, description="of one address that is not loopback")
    max_header_bytes: int = Field(ge=256, description="request line and header fields together")
    receive_timeout_s: float = Field(gt=0, description="for the handshake, the header fields, the body")
    min_body_rate: int = Field(ge=1, description="bytes a second that earn a body more time")
    idle_timeout_s: float = Field(gt=0, description="between two requests of a connection")
    write_timeout_s: float = Field(gt=0, description="how long an answer may wait for its reader")
    max_unread_bytes: int = Field(ge=1, description="of one answer that its reader has not taken yet")


class AccessConfig(_Frozen):
    """Who may call; see `protocol.access`."""

    directory: str = Field(description="where clients.json and keys.json stand")


class GuardConfig(_Frozen):
    """What a prompt may hold, and what happens to one that looks like an injection."""

    max_prompt_bytes: int = Field(ge=1, description="of the prompt's text in UTF-8; images do not count")
    max_images: int = Field(ge=0, description="of one request")
    max_pixels: int = Field(ge=1, description="of one image, as its header declares them")
    policy: GuardPolicy = Field(description="for whoever is no declared client")


class AuditConfig(_Frozen):
    """Where the hash-chained record of who did what goes."""

    sink: Literal["journal", "file", "off"]
    directory: str = Field(description="of audit.jsonl, or of what continues the journal's chain")


class TracingConfig(_Frozen):
    """Where OpenTelemetry spans of requests go."""

    exporter: Literal["otlp", "file", "stdout"]
    endpoint: str | None = Field(description="otlp: the collector's URL, http/protobuf")
    headers_secret: str | None = Field(description="otlp: name of the secret with `Name: value` lines")
    file: str | None = Field(description="file: where to append")
    sample: float = Field(ge=0, le=1, description="share of requests, unless their caller has decided")
    content: bool = Field(description="whether prompts and answers become attributes")


class LogsConfig(_Frozen):
    """What is written about requests."""

    level: Literal["debug", "info", "warning", "error"]
    content: bool = Field(description="whether prompts and answers are written")


class ServeConfig(_Frozen):
    """Everything that `genesis-serve` knows."""

    schema_version: Literal[1] = 1
    model: str
    description: str
    task: Task
    weights: FileRef
    projector: FileRef | None
    draft: FileRef | None
    adapters: dict[str, AdapterRef]
    engine: EngineConfig
    residency: ResidencyConfig | None = Field(description="none: always in memory")
    budget: BudgetConfig
    listen: ListenConfig
    limits: LimitsConfig
    http: HttpConfig
    guard: GuardConfig
    audit: AuditConfig
    logs: LogsConfig
    tracing: TracingConfig | None = Field(description="none: off")
    access: AccessConfig | None = Field(
        description="none: no client is declared, and whoever connects may call"
    )
    secrets: str | None = Field(
        description="directory of secrets, a file each; none: $CREDENTIALS_DIRECTORY, see systemd.exec(5)"
    )


class _Named(BaseModel):
    path: str


class NamedFiles(BaseModel):
    """The model files that a rendered configuration names, also one of another version than this."""

    weights: _Named
    projector: _Named | None = None
    draft: _Named | None = None
    adapters: dict[str, _Named] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them, the weights first."""
        optional = (self.projector, self.draft, *self.adapters.values())
        return (self.weights.path, *(file.path for file in optional if file is not None))
