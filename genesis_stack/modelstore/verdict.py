"""The sums of a whole stack, host by host, with what is wrong at its line and column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genesis_stack.layout import Layout
from genesis_stack.modelstore.fit import Finding, Fit, fit
from genesis_stack.modelstore.here import is_machine
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.modelstore.memory import Shape
from genesis_stack.modelstore.shapes import shape
from genesis_stack.spec.document import Positions, parse
from genesis_stack.spec.effective import hosts_of, on_host
from genesis_stack.spec.model import Model, Stack, Weights
from genesis_stack.spec.problems import Problem, show_path
from genesis_stack.spec.source import read


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sums by host, None being this machine; `problems` make the stack impossible, `warnings` do not."""

    fits: dict[str | None, Fit]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def judge(path: Path, stack: Stack, layout: Layout, host: LocalHost | None) -> Verdict:
    """Sum up a stack that was loaded from `path`; `host` is this machine, None leaves it out.

    A stack that names its hosts is held against this machine only where it is one of them.
    """
    shapes = dict(_shapes(stack, layout))
    fits = {
        name: fit(on_host(stack, name), shapes, host if _is_here(stack, name, host) else None)
        for name in hosts_of(stack)
    }
    if not any(one.problems or one.warnings for one in fits.values()):
        return Verdict(fits, (), ())
    positions = parse(read(path)).positions
    problems = (_placed(found, name, path, positions) for name, one in fits.items() for found in one.problems)
    warnings = (_placed(found, name, path, positions) for name, one in fits.items() for found in one.warnings)
    return Verdict(fits, _once(problems), _once(warnings))


def files_of(model: Model) -> Iterator[tuple[str, Weights]]:
    """Every file that a model is made of, and what it is to the model."""
    yield "weights", model.weights
    if model.projector is not None:
        yield "projector", model.projector
    if model.draft is not None:
        yield "draft", model.draft
    for name, adapter in model.adapters.items():
        yield f"adapter {name}", adapter


def _shapes(stack: Stack, layout: Layout) -> Iterator[tuple[str, Shape]]:
    for model in stack.models.values():
        for _, weights in files_of(model):
            found = shape(weights, layout)
            if found is not None:
                yield weights.sha256, found


def _is_here(stack: Stack, name: str | None, host: LocalHost | None) -> bool:
    if name is None or host is None:
        return name is None
    return is_machine(name, stack.hosts[name], host)


def _placed(found: Finding, host: str | None, path: Path, positions: Positions) -> Problem:
    mark = positions.of_value(found.path)
    what = found.what if host is None else f"on host {host}: {found.what}"
    return Problem(str(path), mark.line, mark.column, show_path(found.path), what, found.hint)


def _once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))
