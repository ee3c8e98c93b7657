"""The servers that are compared, and how each is started on the same model, threads, context and slots.

Each runs as its own documentation recommends, on loopback, logging little. Where a setting is not named
here it is the server's own default.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from genesis_stack.protocol.serve_config import (
    AuditConfig,
    BudgetConfig,
    EngineConfig,
    FileRef,
    GuardConfig,
    LimitsConfig,
    ListenConfig,
    LogsConfig,
    ServeConfig,
)
from genesis_stack.render.http import http_config
from genesis_stack.render.serve import spin_count
from genesis_stack.spec.http import Http


@dataclass(frozen=True, slots=True)
class Setup:
    """What all peers have in common: `context` is tokens a slot, `slots` requests decoded at once."""

    gguf: Path
    threads: int
    context: int
    slots: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves, the path that answers 200 once it does, and what to add to its environment."""

    argv: tuple[str | Path, ...]
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """One server under test. `launch` takes the setup, a port and a scratch folder."""

    name: str
    launch: Callable[[Setup, int, Path], Launch]
    has_slots_route: bool


def ours(extra: Mapping[str, object]) -> Peer:
    """`genesis-serve`, with `extra` laid over the engine's settings."""

    def launch(setup: Setup, port: int, scratch: Path) -> Launch:
        config = scratch / "genesis-serve.json"
        config.write_text(serve_config(setup, port, extra).model_dump_json(indent=1))
        program = Path(sys.executable).with_name("genesis-serve")
        return Launch((program, "--config", config), "/health")

    return Peer("genesis-serve", launch, has_slots_route=True)


def serve_config(setup: Setup, port: int, extra: Mapping[str, object]) -> ServeConfig:
    """What `genesis-serve` is given: the setup, and nothing on that costs time."""
    size = setup.gguf.stat().st_size
    engine: dict[str, object] = {
        "context": setup.context,
        "parallel": setup.slots,
        "threads": setup.threads,
        "threads_batch": setup.threads,
        "spin_count": spin_count(size, alone=True),
        "batch": 512,
        "kv_cache": "f16",
        "flash_attention": True,
        "mlock": False,
        "speculation": "off",
        "queue_requests": 256,
        "queue_tokens": 200_000,
        "image_tokens": 1024,
        "image_memory": 2**27,
        "step_target_ms": 150.0,
        "prefix_cache": True,
        "prefix_cache_ram": 0,
        "prefix_cache_disk": 0,
        "prefix_cache_dir": None,
    }
    return ServeConfig(
        model="benchmark",
        description="benchmark",
        task="text",
        weights=FileRef(path=str(setup.gguf), sha256=_sha256(setup.gguf), size=size),
        projector=None,
        draft=None,
        adapters={},
        engine=EngineConfig.model_validate(engine | dict(extra)),
        residency=None,
        budget=BudgetConfig(memory=size + 8 * 2**30, cpus=setup.threads),
        listen=ListenConfig(host="127.0.0.1", port=port),
        limits=LimitsConfig(request_timeout_s=600.0, drain_timeout_s=2.0, max_body_bytes=4 * 2**20),
        http=http_config(Http()),
        guard=GuardConfig(max_prompt_bytes=4 * 2**20, max_images=0, max_pixels=1, policy="flag"),
        audit=AuditConfig(sink="off", directory=""),
        logs=LogsConfig(level="info", content=False),
        tracing=None,
        access=None,
        secrets=None,
    )


@cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def llama_server(binary: Path, extra: tuple[str, ...]) -> Peer:
    """llama.cpp's own server, of the commit that llama-cpp-python carries.

    `--ctx-size` is the total over all slots, so that each has the same context as elsewhere. Slots are
    fixed rather than chosen automatically. Batch sizes, flash attention (auto), continuous batching and
    the prompt cache stay as they are by default. The log is cut to errors and there is no web page, for
    neither is measured. `extra` comes last and wins.
    """

    def launch(setup: Setup, port: int, scratch: Path) -> Launch:  # noqa: ARG001 -- it needs no files
        options = {
            "--model": setup.gguf,
            "--host": "127.0.0.1",
            "--port": port,
            "--threads": setup.threads,
            "--threads-batch": setup.threads,
            "--parallel": setup.slots,
            "--ctx-size": setup.context * setup.slots,
            "--log-verbosity": 1,
        }
        words = [str(word) for option in options.items() for word in option]
        return Launch((binary, *words, "--no-webui", "--offline", *extra), "/health")

    return Peer("llama-server", launch, has_slots_route=True)


def packaged_server(packages: Path) -> Peer:
    """`llama_cpp.server`, the one that llama-cpp-python packages.

    It decodes one request at a time, so it gets one slot's context; slots have no counterpart. By default
    a second request interrupts the first: that is turned off, or it would answer nobody.
    """

    def launch(setup: Setup, port: int, scratch: Path) -> Launch:  # noqa: ARG001 -- it needs no files
        options = {
            "--model": setup.gguf,
            "--host": "127.0.0.1",
            "--port": port,
            "--n_threads": setup.threads,
            "--n_threads_batch": setup.threads,
            "--n_ctx": setup.context,
            "--interrupt_requests": "false",
            "--use_mlock": "false",
            "--verbose": "false",
        }
        words = [str(word) for option in options.items() for word in option]
        argv = (sys.executable, "-m", "llama_cpp.server", *words)
        return Launch(argv, "/v1/models", {"PYTHONPATH": str(packages)})

    return Peer("llama_cpp.server", launch, has_slots_route=False)


def example_server(script: Path, packages: Path) -> Peer:
    """llama-cpp-python's `examples/server`, which batches over the low-level bindings.

    Batch sizes are llama.cpp's defaults; logits are not stored, as in all its shipped configurations.
    """

    def launch(setup: Setup, port: int, scratch: Path) -> Launch:
        config = scratch / "example-server.json"
        model = {
            "path": str(setup.gguf),
            "alias": "benchmark",
            "n_ctx": setup.context * setup.slots,
            "n_seq_max": setup.slots,
            "n_batch": 512,
            "n_ubatch": 512,
            "threads": setup.threads,
            "threads_batch": setup.threads,
            "kv_unified": True,
            "store_logits": False,
            "use_mmap": True,
        }
        config.write_text(json.dumps({"server": {"host": "127.0.0.1", "port": port}, "model": model}))
        return Launch((sys.executable, script, "-C", config), "/healthz", {"PYTHONPATH": str(packages)})

    return Peer("examples/server", launch, has_slots_route=False)
