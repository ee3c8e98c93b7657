"""The config of one `genesis-serve` process, with every `auto` resolved and every value written out."""

from __future__ import annotations

from math import ceil
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import (
    AccessConfig,
    AuditConfig,
    BudgetConfig,
    EngineConfig,
    GuardConfig,
    LimitsConfig,
    ListenConfig,
    ResidencyConfig,
    ServeConfig,
)
from genesis_stack.render.access import access_directory
from genesis_stack.render.files import RenderedFile, ResolvedModel
from genesis_stack.render.http import http_config
from genesis_stack.render.observing import logs_config, tracing_config
from genesis_stack.spec.model import Model, Stack

_LEAST_SPINS: Final = 1000
_SPINS_PER_MB: Final = 50
_MOST_SPINS: Final = 300_000
"""libgomp's own number."""


def config_path(name: str, layout: Layout) -> PurePosixPath:
    """Where the config of model `name` stands on the target host."""
    return PurePosixPath(layout.config) / "models" / f"{name}.json"


def prefix_cache_path(name: str, layout: Layout) -> PurePosixPath:
    """Where the prefix cache of model `name` outlives a restart, when the stack gives it disk."""
    return PurePosixPath(layout.prefix_cache) / name


def span_path(name: str, layout: Layout) -> PurePosixPath:
    """Where the spans of model `name` are kept when the server has no log directory of its own."""
    return PurePosixPath(layout.traces) / name


def logs_path(name: str, layout: Layout) -> PurePosixPath:
    """Where model `name` keeps files about its requests when the service manager gives it no directory."""
    return PurePosixPath(layout.logs) / name


def group_path(group: str, layout: Layout) -> PurePosixPath:
    """Where the models of a group have the locks that say whose turn in memory it is."""
    return PurePosixPath(layout.run) / "groups" / group


def serve_config(
    stack: Stack,
    name: str,
    resolved: ResolvedModel,
    layout: Layout,
    *,
    logs: PurePosixPath | None = None,
    prefix_cache: PurePosixPath | None = None,
    credentials: bool = False,
) -> ServeConfig:
    """The config of model `name`, served from the files of `resolved`.

    `logs` is the server's own log directory where a journal keeps its output; without it the audit record
    and spans go to files below the state.
    `prefix_cache` is where its prefix cache outlives a restart if the stack gives it disk; by default a
    directory below the state. With `credentials` the service manager hands it its secrets; otherwise it
    reads their files.
    """
    model = stack.models[name]
    spins = spin_count(resolved.weights.size, alone=_computes_alone(stack))
    return ServeConfig(
        model=name,
        description=model.description,
        task=model.task,
        weights=resolved.weights,
        projector=resolved.projector,
        draft=resolved.draft,
        adapters=dict(resolved.adapters),
        engine=_engine(model, prefix_cache or prefix_cache_path(name, layout), spins),
        residency=_residency(model, layout),
        budget=BudgetConfig(memory=model.budget.memory, cpus=model.budget.cpus),
        listen=ListenConfig(host=model.listen or stack.defaults.listen, port=model.port),
        limits=LimitsConfig(
            request_timeout_s=model.limits.request_timeout,
            drain_timeout_s=model.limits.drain_timeout,
            max_body_bytes=model.limits.max_body,
        ),
        http=http_config(stack.http),
        guard=GuardConfig(
            max_prompt_bytes=model.limits.max_prompt,
            max_images=model.limits.max_images,
            max_pixels=model.limits.max_pixels,
            policy="flag",
        ),
        audit=_audit(stack, logs, logs_path(name, layout)),
        logs=logs_config(stack.monitoring.logs),
        tracing=tracing_config(stack.monitoring.tracing, logs or span_path(name, layout)),
        access=AccessConfig(directory=str(access_directory(layout))) if stack.clients else None,
        secrets=None if credentials else str(layout.secrets),
    )


def _residency(model: Model, layout: Layout) -> ResidencyConfig | None:
    if model.keep_loaded == "always":
        return None
    group = None if model.group is None else str(group_path(model.group, layout))
    return ResidencyConfig(idle_s=model.keep_loaded, group=group)


def _audit(stack: Stack, logs: PurePosixPath | None, files: PurePosixPath) -> AuditConfig:
    declared = stack.monitoring.logs.audit
    if logs is not None:
        return AuditConfig(sink=declared, directory=str(logs))
    return AuditConfig(sink="off" if declared == "off" else "file", directory=str(files))


def _computes_alone(stack: Stack) -> bool:
    """Whether one model at a time computes on this host."""
    in_turns = {
        name if model.group is None else f"group {model.group}" for name, model in stack.models.items()
    }
    return len(in_turns) == 1


def spin_count(weights: int | None, *, alone: bool) -> int:
    """Turns that a thread waits at a barrier, for a model of so many bytes; docs/engine.md has measurements.

    What threads wait for each other grows with the operations, and they with the weights. Two models that
    both wait long would take whole time slices from each other.
    """
    if not alone:
        return _LEAST_SPINS
    if weights is None:
        return _MOST_SPINS
    return max(_LEAST_SPINS, min(_MOST_SPINS, _SPINS_PER_MB * weights // 1_000_000))


def _engine(model: Model, prefix_cache: PurePosixPath, spins: int) -> EngineConfig:
    settings = model.engine
    cores = max(1, int(model.budget.cpus))  # a thread without a core of its own stalls the others
    return EngineConfig(
        context=settings.context,
        parallel=settings.parallel,
        threads=cores if settings.threads == "auto" else settings.threads,
        threads_batch=ceil(model.budget.cpus) if settings.threads_batch == "auto" else settings.threads_batch,
        spin_count=spins,
        batch=settings.batch,
        kv_cache=settings.kv_cache,
        flash_attention=settings.flash_attention,
        mlock=settings.mlock,
        speculation=settings.speculation,
        image_tokens=settings.image_tokens,
        image_memory=settings.image_memory,
        queue_requests=settings.queue_requests,
        queue_tokens=settings.queue_tokens,
        step_target_ms=settings.step_target * 1000,
        prefix_cache=settings.prefix_cache,
        prefix_cache_ram=settings.prefix_cache_ram,
        prefix_cache_disk=settings.prefix_cache_disk,
        prefix_cache_dir=str(prefix_cache) if settings.prefix_cache_disk else None,
    )


def config_file(
    stack: Stack,
    name: str,
    resolved: ResolvedModel,
    layout: Layout,
    *,
    owner: str,
    logs: PurePosixPath | None = None,
    prefix_cache: PurePosixPath | None = None,
    credentials: bool = False,
) -> RenderedFile:
    """The config as a file: JSON with one value a line, so that a plan's diff shows single changes."""
    config = serve_config(
        stack, name, resolved, layout, logs=logs, prefix_cache=prefix_cache, credentials=credentials
    )
    content = config.model_dump_json(indent=2) + "\n"
    return RenderedFile(config_path(name, layout), content, 0o644, owner)
