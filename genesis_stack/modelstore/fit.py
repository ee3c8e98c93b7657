"""Whether a stack fits: each model into its budget, the budgets into the host. Arithmetic alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from genesis_stack.modelstore.host import LocalHost
from genesis_stack.modelstore.memory import Row, Shape, rows, total
from genesis_stack.modelstore.quantity import declare_size, show_size
from genesis_stack.protocol.kv_cells import CELL_PADDING
from genesis_stack.spec.alerts import HIGH_MEMORY, Alert
from genesis_stack.spec.effective import gateway_on
from genesis_stack.spec.model import EngineSettings, Model, Stack
from genesis_stack.spec.monitoring import EXPORTER_MEMORY


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit; `path` leads to the value in the stack that decides."""

    path: tuple[str, ...]
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class ModelFit:
    """One model's sum against its budget, in bytes; `known` is False while its weights' facts are missing."""

    name: str
    rows: tuple[Row, ...]
    budget: int
    known: bool

    @property
    def needed(self) -> int:
        """The sum of the rows."""
        return sum(row.size for row in self.rows)


@dataclass(frozen=True, slots=True)
class HostFit:
    """The budgets' sum against the host, in bytes."""

    rows: tuple[Row, ...]
    host: LocalHost

    @property
    def needed(self) -> int:
        """The sum of the rows."""
        return sum(row.size for row in self.rows)


@dataclass(frozen=True, slots=True)
class Fit:
    """All sums; `problems` make the stack impossible, `warnings` make it slow or odd."""

    models: tuple[ModelFit, ...]
    host: HostFit | None
    problems: tuple[Finding, ...] = field(default=())
    warnings: tuple[Finding, ...] = field(default=())


def fit(stack: Stack, shapes: Mapping[str, Shape], host: LocalHost | None) -> Fit:
    """Sum up the models of one host; `shapes` by digest, `host` None to leave the host out."""
    models = tuple(
        ModelFit(name, rows(model, shapes), model.budget.memory, model.weights.sha256 in shapes)
        for name, model in stack.models.items()
    )
    on_host = None if host is None else HostFit(tuple(_budgets(stack)), host)
    problems = [finding for one in models for finding in _over_budget(one, stack.models[one.name], shapes)]
    warnings = [
        finding for name, model in stack.models.items() for finding in _doubts(name, model, shapes, host)
    ]
    warnings += [finding for one in models for finding in _told_when_full(one, stack)]
    if on_host is not None:
        problems += _over_host(on_host, stack)
        warnings += _over_cpus(on_host.host, stack)
    return Fit(models, on_host, tuple(problems), tuple(warnings))


def _over_budget(one: ModelFit, model: Model, shapes: Mapping[str, Shape]) -> Iterator[Finding]:
    if one.needed > one.budget:
        ways = [f"declare `memory: {declare_size(one.needed)}` or more", *_smaller(model, shapes)]
        yield Finding(
            ("models", one.name, "budget", "memory"),
            f"{show_size(one.budget)} are {show_size(one.needed - one.budget)} too little: "
            f"{'' if one.known else 'at least '}{show_size(one.needed)} are needed, "
            + " + ".join(f"{row.what} {show_size(row.size)}" for row in one.rows),
            hint=", or ".join(ways),
        )


def _told_when_full(one: ModelFit, stack: Stack) -> Iterator[Finding]:
    """A budget that the plan itself fills up to the alert about it."""
    entry = stack.alerts.get("HighMemoryUsage", Alert())
    limit = HIGH_MEMORY if entry.threshold is None else entry.threshold.value
    watched = stack.monitoring.prometheus is not None and entry.enabled
    if watched and limit * one.budget < one.needed <= one.budget:
        yield Finding(
            ("models", one.name, "budget", "memory"),
            f"{one.needed / one.budget:.0%} are planned for, and HighMemoryUsage tells from {limit:.0%} on",
            hint=f"declare `memory: {declare_size(int(one.needed / limit) + 1)}` or more",
        )


def _smaller(model: Model, shapes: Mapping[str, Shape]) -> Iterator[str]:
    """Single engine settings with which the model would fit, the largest value of each."""

    def fits(**changed: object) -> bool:
        engine = model.engine.model_copy(update=changed)
        return total(model.model_copy(update={"engine": engine}), shapes) <= model.budget.memory

    if model.weights.sha256 not in shapes:
        return
    if model.engine.kv_cache == "f16" and fits(kv_cache="q8_0"):
        yield "set engine.kv_cache to q8_0"
    context = _largest(lambda count: fits(context=count), model.engine.context, CELL_PADDING)
    if context:
        yield f"lower engine.context to {context}"
    parallel = _largest(lambda count: fits(parallel=count), model.engine.parallel, 1)
    if parallel:
        yield f"lower engine.parallel to {parallel}"


def _largest(fits: Callable[[int], bool], limit: int, step: int) -> int:
    """The largest multiple of `step` up to `limit` that fits, by bisection; 0 if none does."""
    low, high = 0, limit // step
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle - 1)
    return low * step


def _budgets(stack: Stack) -> Iterator[Row]:
    """What the host must hold at once: of a group only the largest, of blue_green one model twice."""
    groups: dict[str, list[str]] = {}
    for name, model in stack.models.items():
        if model.group is None:
            yield Row(name, model.budget.memory, estimated=False)
        else:
            groups.setdefault(model.group, []).append(name)
    for group, names in groups.items():
        largest = max(stack.models[name].budget.memory for name in names)
        yield Row(f"group {group}", largest, estimated=False, note=f"the largest of {', '.join(names)}")
    twice = [(model.budget.memory, name) for name, model in stack.models.items() if _blue_green(stack, model)]
    if twice:
        memory, name = max(twice)
        yield Row(f"second {name}", memory, estimated=False, note="during a blue_green rollout")
    yield from _watchers(stack)
    yield Row("reserve", stack.defaults.reserve, estimated=False)


def _watchers(stack: Stack) -> Iterator[Row]:
    """What the gateway and the programs that watch may take."""
    if (gateway := gateway_on(stack, None)) is not None:
        yield Row("gateway", gateway.memory, estimated=False)
    prometheus, alertmanager = stack.monitoring.prometheus, stack.monitoring.alertmanager
    if prometheus is not None and prometheus.mode == "managed":
        yield Row("prometheus", prometheus.memory, estimated=False)
    if alertmanager is not None and alertmanager.mode == "managed":
        yield Row("alertmanager", alertmanager.memory, estimated=False)
    if prometheus is not None:
        yield Row("exporter", EXPORTER_MEMORY, estimated=False)


def _blue_green(stack: Stack, model: Model) -> bool:
    return (model.rollout or stack.defaults.rollout).strategy == "blue_green"


def _over_host(sums: HostFit, stack: Stack) -> Iterator[Finding]:
    if sums.needed > sums.host.memory:
        missing = sums.needed - sums.host.memory
        left = sums.host.memory - stack.defaults.reserve
        yield Finding(
            ("models",),
            f"the budgets and the reserve take {show_size(sums.needed)}, this host has "
            f"{show_size(sums.host.memory)} ({sums.host.memory_source}): {show_size(missing)} are missing, "
            + " + ".join(f"{row.what} {show_size(row.size)}" for row in sums.rows),
            hint=f"let the budgets add up to {show_size(max(left, 0))}, or choose a host with "
            f"{declare_size(sums.needed)}",
        )


def _over_cpus(host: LocalHost, stack: Stack) -> Iterator[Finding]:
    cpus = sum(model.budget.cpus for model in stack.models.values())
    if cpus > host.cpus:
        yield Finding(
            ("models",),
            f"the CPU budgets add up to {cpus:g} cores, this host has {host.cpus:g} ({host.cpus_source})",
            hint="the models slow each other down when all are busy",
        )


def _doubts(
    name: str, model: Model, shapes: Mapping[str, Shape], host: LocalHost | None
) -> Iterator[Finding]:
    if host is not None:
        yield from _threads(name, model.engine, host)
    shape = shapes.get(model.weights.sha256)
    if shape is None:
        yield Finding(
            ("models", name, "weights"),
            "its shape is unknown until it is in the store, so the sum is not complete",
            hint="run `genesis-stack models pull`, then validate again",
        )
    elif 0 < shape.facts.context_train < model.engine.context:
        yield Finding(
            ("models", name, "engine", "context"),
            f"{model.engine.context} tokens are more than the {shape.facts.context_train} "
            "the model was trained on",
            hint="answers get worse beyond them",
        )


def _threads(name: str, engine: EngineSettings, host: LocalHost) -> Iterator[Finding]:
    """Threads against the host; against the budget, the stack itself was checked when it was read."""
    for setting, count in (("threads", engine.threads), ("threads_batch", engine.threads_batch)):
        if count != "auto" and count > host.cpus:
            yield Finding(
                ("models", name, "engine", setting),
                f"{count} threads, but this host has {host.cpus:g} ({host.cpus_source})",
                hint="threads that wait for a processor hold up the others: use auto, or no more than that",
            )
