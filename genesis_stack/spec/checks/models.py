"""Checks of the served models: files, engine, sandbox, ports and who can reach them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from genesis_stack.spec.checks.finding import Declared, Finding
from genesis_stack.spec.effective import gateway_on, hosts_of, models_on, on_host, resolve
from genesis_stack.spec.files import Weights
from genesis_stack.spec.model import Model, Stack
from genesis_stack.spec.problems import Path, did_you_mean
from genesis_stack.spec.runtime import Rollout, Slo
from genesis_stack.spec.security import DIRECTIVES, FROM_BUDGET, Security


def check_models(stack: Stack) -> Iterator[Finding]:
    """Each model by itself, as it is declared and as hosts change it; each fault where it comes in."""
    resolved = resolve(stack)
    shared = list(_rollout(stack.defaults.rollout))
    yield from _at(("defaults",), shared)
    for name, model in stack.models.items():
        path: Path = ("models", name)
        yield from _at(path, (*_task(model), *_files(model), *_residency(model)))
        yield from _at(path, _without(shared, _settings(resolved.models[name])))
        if model.security is not None:
            yield from check_directives((*path, "security"), model.security)
    for host, entry in stack.hosts.items():
        placed = models_on(resolved, host)
        for name, override in entry.overrides.items():
            path = ("hosts", host, "overrides", name)
            if name in placed:
                declared = list(_settings(resolved.models[name]))
                yield from _at(path, _without(declared, _settings(placed[name])))
            if override.security is not None:
                yield from check_directives((*path, "security"), override.security)


def _at(path: Path, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Findings about a part of the stack, at its place."""
    for finding in findings:
        yield replace(finding, path=(*path, *finding.path))


def _without(known: Sequence[Finding], findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings that are news."""
    return (finding for finding in findings if finding not in known)


def _settings(model: Model) -> Iterator[Finding]:
    """What a host may change, once defaults are filled in."""
    yield from _engine(model)
    yield from _slo(model.slo)
    if model.rollout is not None:
        yield from _rollout(model.rollout)


def _task(model: Model) -> Iterator[Finding]:
    if model.task == "vision" and model.projector is None:
        yield Finding(("task",), "a vision model needs a projector", "declare its mmproj file as projector")
    if model.task != "vision" and model.projector is not None:
        yield Finding(
            ("projector",),
            f"a {model.task} model has no projector",
            "set task: vision, or remove it",
            at_key=True,
        )
    if len(set(model.tags)) < len(model.tags):
        yield Finding(("tags",), "a tag is listed twice", "remove one")


def _files(model: Model) -> Iterator[Finding]:
    files: dict[Path, Weights | None] = {
        ("weights",): model.weights,
        ("projector",): model.projector,
        ("draft",): model.draft,
        **{("adapters", name): adapter for name, adapter in model.adapters.items()},
    }
    for place, file in files.items():
        if file is None or file.revision is None:
            continue
        if not file.source.startswith("hf://"):
            yield Finding((*place, "revision"), "only an hf:// source has revisions", "remove it")
        elif "@" in file.source and not file.source.endswith(f"@{file.revision}"):
            yield Finding((*place, "revision"), "differs from the one after @ in source", "keep one of them")


def _residency(model: Model) -> Iterator[Finding]:
    if model.group is not None and model.keep_loaded == "always":
        yield Finding(
            ("group",), "a model of a group must be able to leave memory", "set keep_loaded, such as 10m"
        )


def _engine(model: Model) -> Iterator[Finding]:
    cores = max(1, int(model.budget.cpus))
    for key, threads in (("threads", model.engine.threads), ("threads_batch", model.engine.threads_batch)):
        if threads != "auto" and threads > cores:
            yield Finding(
                ("engine", key),
                f"{threads} threads are more than the budget's {model.budget.cpus:g} cpus",
                f"set {key} to {cores} or auto, or raise budget.cpus",
            )
    if model.engine.prefix_cache_ram and not model.engine.prefix_cache:
        yield Finding(("engine", "prefix_cache_ram"), "prefix_cache is off", "turn it on, or remove this")
    if model.engine.prefix_cache_disk > model.engine.prefix_cache_ram:
        yield Finding(
            ("engine", "prefix_cache_disk"),
            "what is read back from disk does not fit into prefix_cache_ram",
            "set prefix_cache_ram to at least as much",
        )


def _slo(slo: Slo) -> Iterator[Finding]:
    if slo.ttft_p95 is not None and slo.latency_p95 is not None and slo.ttft_p95 > slo.latency_p95:
        yield Finding(
            ("slo", "ttft_p95"), "the first token cannot come after the last", "make it at most latency_p95"
        )


def _rollout(rollout: Rollout) -> Iterator[Finding]:
    if rollout.min_healthy >= rollout.deadline:
        yield Finding(
            ("rollout",),
            f"min_healthy ({rollout.min_healthy:g}s) must end before deadline ({rollout.deadline:g}s)",
            "raise deadline or lower min_healthy",
        )


def check_directives(path: Path, security: Security) -> Iterator[Finding]:
    """Whether each directive is one that confines a service, and set in no other place."""
    for directive in security.directives:
        place = (*path, "directives", directive)
        if directive in FROM_BUDGET:
            yield Finding(
                place, "comes from the budget", "set budget.memory, budget.cpus or budget.tasks", at_key=True
            )
        elif directive not in DIRECTIVES:
            hint = did_you_mean(directive, DIRECTIVES)
            yield Finding(place, "is no directive that confines a service", hint, at_key=True)


def check_ports(stack: Stack) -> Iterator[Finding]:
    """Whether each port has one owner on each host."""
    for host in hosts_of(stack):
        owners: dict[int, str] = {}
        listeners = list(_listeners(stack, host))
        taken = {port for _, port, _ in listeners}
        for path, port, owner in listeners:
            if port in owners:
                others = (*range(port + 1, 65536), *range(port - 1, 0, -1))
                free = next(free for free in others if free not in taken)
                yield Finding(path, f"port {port} is taken by {owners[port]}", f"port {free} is free")
            owners.setdefault(port, owner)


def _listeners(stack: Stack, host: str | None) -> Iterator[tuple[Path, int, str]]:
    declared = stack.hosts[host].overrides if host is not None else {}
    for name, model in on_host(stack, host).models.items():
        moved = name in declared and declared[name].port is not None
        place: Path = ("hosts", host or "", "overrides", name, "port") if moved else ("models", name, "port")
        yield place, model.port, f"models.{name}"
    if (gateway := gateway_on(stack, host)) is not None:
        yield ("gateway", "port"), gateway.port, "gateway"
        yield ("gateway", "metrics_port"), gateway.metrics_port, "gateway.metrics_port"
    prometheus, alertmanager = stack.monitoring.prometheus, stack.monitoring.alertmanager
    if prometheus is not None and prometheus.mode == "managed":
        yield ("monitoring", "prometheus", "port"), prometheus.port, "monitoring.prometheus"
    if prometheus is not None:
        place = ("monitoring", "prometheus", "exporter_port")
        yield place, prometheus.exporter_port, "monitoring.prometheus.exporter_port"
    if alertmanager is not None and alertmanager.mode == "managed":
        yield ("monitoring", "alertmanager", "port"), alertmanager.port, "monitoring.alertmanager"


def check_exposure(stack: Stack, declared: Declared) -> Iterator[Finding]:
    """Whether anything listens to other machines before anyone is known."""
    if declared.clients:
        return
    places: dict[Path, str | None] = {("defaults", "listen"): stack.defaults.listen}
    places |= {("models", name, "listen"): model.listen for name, model in stack.models.items()}
    for host, entry in stack.hosts.items():
        places["hosts", host, "listen"] = entry.listen
        for name, override in entry.overrides.items():
            places["hosts", host, "overrides", name, "listen"] = override.listen
    if stack.gateway is not None:
        places["gateway", "listen"] = stack.gateway.listen
    for path, address in places.items():
        if address is not None and not ipaddress.ip_address(address).is_loopback:
            yield Finding(
                path,
                f"{address} is open to other machines, and no client is declared",
                "declare who may call under clients, or listen on 127.0.0.1",
            )
