"""How one model runs: engine, budget, promises, rollout and bounds on a request."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genesis_stack.spec.fields import Frozen, Threads
from genesis_stack.spec.units import ByteSize, Duration, Fraction


class EngineSettings(Frozen):
    """How llama.cpp is set up; `auto` values are chosen from the budget."""

    context: int = Field(
        default=4096,
        ge=64,
        le=1_048_576,
        description="Longest request in tokens, prompt and answer together.",
    )
    parallel: int = Field(default=4, ge=1, le=64, description="Requests decoded in one batch.")
    threads: Threads = Field(
        default="auto", description="Threads that decode; auto: budget.cpus, whole cores."
    )
    threads_batch: Threads = Field(
        default="auto", description="Threads that read prompts; auto: budget.cpus, rounded up."
    )
    batch: int = Field(default=512, ge=32, le=8192, description="Most tokens in one step.")
    kv_cache: Literal["f16", "q8_0"] = Field(
        default="f16", description="Type of the KV cache: q8_0 takes half the memory of f16."
    )
    flash_attention: bool = Field(default=True, description="Use flash attention.")
    mlock: bool = Field(default=False, description="Keep the weights in memory, never paged out.")
    speculation: Literal["off", "ngram"] = Field(
        default="ngram",
        description="ngram guesses tokens that repeat the prompt, where it pays; the text stays the same.",
    )
    image_tokens: int = Field(
        default=1024,
        ge=16,
        le=65_536,
        description="Most tokens of one image; larger images are scaled down to fit.",
    )
    image_memory: ByteSize = Field(
        default=128 * 1024**2,
        description="Memory, inside the budget, for encoded images: those in use, and those seen lately.",
    )
    queue_requests: int = Field(default=64, ge=1, le=100_000, description="Requests that may wait.")
    queue_tokens: int = Field(
        default=65536,
        ge=1,
        le=1_000_000_000,
        description="Prompt tokens that may wait, all requests together.",
    )
    step_target: Duration = Field(
        default=0.12,
        gt=0,
        description="Longest step while answers stream: what a long prompt may delay them by.",
    )
    prefix_cache: bool = Field(
        default=True, description="Keep prompts that were read, for requests that begin the same way."
    )
    prefix_cache_ram: ByteSize = Field(
        default=0,
        description="Memory, inside the budget, for prompts that had to leave the KV cache; 0 drops them.",
    )
    prefix_cache_disk: ByteSize = Field(
        default=0, description="How much of prefix_cache_ram is kept on disk across restarts; 0 keeps none."
    )


class Budget(Frozen):
    """What one model may use of its host: the kernel enforces it under systemd."""

    memory: ByteSize = Field(
        gt=0, description="Most memory: weights, KV cache and buffers must fit into it, or validation fails."
    )
    cpus: float = Field(gt=0, le=1024, description="Most CPU time, in cores.")
    tasks: int = Field(default=64, ge=8, le=100_000, description="Most threads and processes.")


class Slo(Frozen):
    """What the operator promises; load tests and alerts measure against it."""

    ttft_p95: Duration | None = Field(
        default=None, description="Time to the first token, 95th percentile, queueing included."
    )
    latency_p95: Duration | None = Field(
        default=None, description="Time to the last token, 95th percentile, queueing included."
    )
    itl_p99: Duration | None = Field(default=None, description="Time between two tokens, 99th percentile.")
    tokens_per_second: float | None = Field(
        default=None, gt=0, description="Tokens a second of one answer, on average, at least."
    )
    error_rate: Fraction | None = Field(default=None, description="Share of requests that may fail.")


class Rollout(Frozen):
    """How a change reaches a running model, and when it counts as good."""

    strategy: Literal["queue", "blue_green"] = Field(
        default="queue",
        description="queue restarts while clients wait; blue_green starts the new server beside the old one, "
        "which takes the memory of both.",
    )
    min_healthy: Duration = Field(
        default=10.0, description="How long the new server must stay healthy before the change is kept."
    )
    deadline: Duration = Field(
        default=300.0,
        description="When a server that is not ready by then counts as failed and is rolled back.",
    )


class Limits(Frozen):
    """Bounds on single requests of one model."""

    request_timeout: Duration = Field(
        default=600.0, gt=0, description="Deadline of one request, queueing included."
    )
    drain_timeout: Duration = Field(
        default=30.0, gt=0, description="How long a server that stops waits for running requests."
    )
    max_body: ByteSize = Field(default=1024 * 1024, gt=0, description="Largest HTTP request body.")
    max_prompt: ByteSize = Field(
        default=100_000, gt=0, description="Largest prompt text, in UTF-8 bytes; images do not count."
    )
    max_images: int = Field(default=8, ge=0, le=1000, description="Most images in one request.")
    max_pixels: int = Field(
        default=16_777_216, ge=1, le=1_000_000_000, description="Most pixels of one image, decoded."
    )
