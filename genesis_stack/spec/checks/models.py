"""Checks of the served models: files, engine, sandbox, ports and who can reach them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from genesis_stack.spec.checks.finding import Declared, Finding
from genesis_stack.spec.effective import gateway_on, hosts_of, laid_over, on_host
from genesis_stack.spec.files import Weights
from genesis_stack.spec.model import Model, Stack
from genesis_stack.spec.problems import Path, did_you_mean
from genesis_stack.spec.runtime import Rollout, Slo
from genesis_stack.spec.security import DIRECTIVES, FROM_BUDGET, Security


def check_models(stack: Stack) -> Iterator[Finding]:
    """Each model by itself, as it is declared and as hosts change it."""
    yield from _rollout(("defaults", "rollout"), stack.defaults.rollout)
    for name, model in stack.models.items():
        path: Path = ("models", name)
        yield from _task(path, model)
        yield from _files(path, model)
        yield from _engine(path, model)
        yield from _slo((*path, "slo"), model.slo)
        if model.rollout is not None:
            yield from _rollout((*path, "rollout"), laid_over(stack.defaults.rollout, model.rollout))
        if model.security is not None:
            yield from check_directives((*path, "security"), model.security)
        if model.group is not None and model.keep_loaded == "always":
            yield Finding(
                (*path, "group"),
                "a model of a group must be able to leave memory",
                "set keep_loaded, such as 10m",
            )
    for host, entry in stack.hosts.items():
        models = on_host(stack, host).models
        for name in entry.overrides.keys() & models.keys():
            yield from _engine(("hosts", host, "overrides", name), models[name])


def _task(path: Path, model: Model) -> Iterator[Finding]:
    if model.task == "vision" and model.projector is None:
        yield Finding(
            (*path, "task"), "a vision model needs a projector", "declare its mmproj file as projector"
        )
    if model.task != "vision" and model.projector is not None:
        yield Finding(
            (*path, "projector"),
            f"a {model.task} model has no projector",
            "set task: vision, or remove it",
            at_key=True,
        )
    if len(set(model.tags)) < len(model.tags):
        yield Finding((*path, "tags"), "a tag is listed twice", "remove one")


def _files(path: Path, model: Model) -> Iterator[Finding]:
    files: dict[Path, Weights | None] = {
        (*path, "weights"): model.weights,
        (*path, "projector"): model.projector,
        (*path, "draft"): model.draft,
        **{(*path, "adapters", name): adapter for name, adapter in model.adapters.items()},
    }
    for place, file in files.items():
        if file is None or file.revision is None:
            continue
        if not file.source.startswith("hf://"):
            yield Finding((*place, "revision"), "only an hf:// source has revisions", "remove it")
        elif "@" in file.source and file.source.rpartition("@")[2] != file.revision:
            yield Finding((*place, "revision"), "differs from the one after @ in source", "keep one of them")


def _engine(path: Path, model: Model) -> Iterator[Finding]:
    for key, threads in (("threads", model.engine.threads), ("threads_batch", model.engine.threads_batch)):
        if threads != "auto" and threads > model.budget.cpus:
            yield Finding(
                (*path, "engine", key),
                f"{threads} threads are more than the budget's {model.budget.cpus:g} cpus",
                f"set {key} to {max(1, int(model.budget.cpus))} or auto, or raise budget.cpus",
            )
    if model.engine.prefix_cache_ram and not model.engine.prefix_cache:
        yield Finding(
            (*path, "engine", "prefix_cache_ram"), "prefix_cache is off", "turn it on, or remove this"
        )
    if model.engine.prefix_cache_disk > model.engine.prefix_cache_ram:
        yield Finding(
            (*path, "engine", "prefix_cache_disk"),
            "what is read back from disk does not fit into prefix_cache_ram",
            "set prefix_cache_ram to at least as much",
        )


def _slo(path: Path, slo: Slo) -> Iterator[Finding]:
    if slo.ttft_p95 is not None and slo.latency_p95 is not None and slo.ttft_p95 > slo.latency_p95:
        yield Finding(
            (*path, "ttft_p95"), "the first token cannot come after the last", "make it at most latency_p95"
        )


def _rollout(path: Path, rollout: Rollout) -> Iterator[Finding]:
    if rollout.min_healthy >= rollout.deadline:
        yield Finding(
            path,
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
        for path, port, owner in _listeners(stack, host):
            if port in owners:
                free = next(free for free in range(port + 1, port + 65536) if free not in owners)
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
