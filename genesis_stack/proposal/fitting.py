"""How models are set up on a machine: the largest settings whose memory sum fits, the arithmetic of validate.

What is asked for most comes first: 2048 tokens a request, then as many requests at once as there are users,
then longer requests, then an unpacked KV cache, then larger steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from genesis_stack.modelstore.host import LocalHost
from genesis_stack.modelstore.memory import Shape, total
from genesis_stack.proposal.catalogue import Offer
from genesis_stack.spec.model import Budget, EngineSettings, Model
from genesis_stack.spec.monitoring import EXPORTER_MEMORY, Prometheus

CONTEXTS: Final = (8192, 4096, 2048, 1024, 512)
ENOUGH: Final = 2048
"""Tokens of a request that come before everything else."""
BATCHES: Final = (512, 256, 64)
KV_CACHES: Final[tuple[Literal["f16", "q8_0"], ...]] = ("f16", "q8_0")
SPARE: Final = 1.1
"""A budget over its sum: the sum rests on estimates, and an alert tells of a budget that is nearly full."""
_GIB: Final = 1024**3
_STEP: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with its settings; `memory` is its budget and `needed` the sum below it, in bytes."""

    offer: Offer
    engine: EngineSettings
    needed: int
    memory: int


def reserve(host: LocalHost) -> int:
    """Bytes left to everything else: 1 GiB, on small machines a quarter of what they have."""
    return min(_GIB, _down(host.memory // 4))


def room(host: LocalHost, *, watched: bool) -> int:
    """Bytes that models may take, beside the reserve and, if there are any, the programs that watch."""
    watchers = Prometheus().memory + EXPORTER_MEMORY if watched else 0
    return host.memory - reserve(host) - watchers


def fit_all(
    offers: Sequence[Offer], space: int, users: int, shapes: Mapping[str, Shape]
) -> tuple[Fitted, ...] | None:
    """Every offer in settings that fit together; None if not even the smallest do.

    From the smallest settings on, the model that has least gets the next step that there is room for.
    """
    ladders = [_ladder(offer, users, shapes) for offer in offers]
    levels = [0] * len(offers)

    def taken() -> int:
        return sum(ladder[level].memory for ladder, level in zip(ladders, levels, strict=True))

    if taken() > space:
        return None
    growing = set(range(len(offers)))
    while growing:
        index = min(growing, key=lambda one: (_worth(ladders[one][levels[one]]), one))
        levels[index] += 1
        if levels[index] == len(ladders[index]) or taken() > space:
            levels[index] -= 1
            growing.remove(index)
    return tuple(ladder[level] for ladder, level in zip(ladders, levels, strict=True))


def _ladder(offer: Offer, users: int, shapes: Mapping[str, Shape]) -> list[Fitted]:
    """Settings from the smallest budget up, each worth more than those below it."""
    steps: list[Fitted] = []
    for one in sorted(_candidates(offer, users, shapes), key=lambda one: (one.memory, _worth(one))):
        if steps and steps[-1].memory == one.memory:
            steps.pop()
        if not steps or _worth(one) > _worth(steps[-1]):
            steps.append(one)
    return steps


def least(offer: Offer, shapes: Mapping[str, Shape]) -> int:
    """Bytes of the smallest budget that holds a model at all."""
    return min(one.memory for one in _candidates(offer, 1, shapes))


def _worth(one: Fitted) -> tuple[int, int, int, bool, int]:
    engine = one.engine
    return (
        min(engine.context, ENOUGH),
        engine.parallel,
        engine.context,
        engine.kv_cache == "f16",
        engine.batch,
    )


def _candidates(offer: Offer, users: int, shapes: Mapping[str, Shape]) -> Iterator[Fitted]:
    trained = shapes[offer.weights.sha256].facts.context_train or CONTEXTS[0]
    shortest = ENOUGH if offer.task == "vision" else 1  # an image alone takes 1024 tokens
    contexts = [context for context in CONTEXTS if shortest <= context <= trained] or [trained]
    for context, parallel, kv_cache, batch in itertools.product(contexts, _halved(users), KV_CACHES, BATCHES):
        engine = EngineSettings(context=context, parallel=parallel, kv_cache=kv_cache, batch=batch)
        needed = total(_model(offer, engine), shapes)
        yield Fitted(offer, engine, needed, _up(math.ceil(needed * SPARE)))


def _halved(users: int) -> Iterator[int]:
    """Requests at once: as many as users, up to the 64 that one batch takes, and each half of it."""
    parallel = min(users, 64)
    while parallel:
        yield parallel
        parallel //= 2


def _model(offer: Offer, engine: EngineSettings) -> Model:
    return Model(
        task=offer.task,
        port=1,
        weights=offer.weights,
        projector=offer.projector,
        engine=engine,
        budget=Budget(memory=1, cpus=1.0),
    )


def share_cpus(cpus: float, models: int) -> list[float]:
    """Cores for each model, whole ones where there are enough; the first, the text model, gets the most."""
    if models == 1:
        return [cpus]
    if cpus < models:
        return [max(0.01, math.floor(100 * cpus / models) / 100)] * models
    whole = int(cpus)
    others = max(1, whole // (models + 1))
    return [float(whole - others * (models - 1)), *[float(others)] * (models - 1)]


def _up(size: int) -> int:
    return -(-size // _STEP) * _STEP


def _down(size: int) -> int:
    return size // _STEP * _STEP
