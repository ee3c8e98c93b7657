"""Finds the engine's settings that serve this model best here: one setting after the other, in a time box.

A setting is only changed for a gain that is no noise, and only to what fits the model's memory budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

from genesis_stack.capacity.trial import KvCache, Speed, Trial
from genesis_stack.spec.model import Budget, EngineSettings, Slo

GAIN: Final = 1.05
"""How much faster another value must be than the present one."""
SEQUENCES: Final = (1, 2, 4, 8, 16)
BATCHES: Final = (256, 512, 1024)
PROMPT: Final = 128
DEEP_PROMPT: Final = 512
"""At which the types of the KV cache differ."""

Measure = Callable[[Sequence[Trial]], Iterator[Speed]]
Fits = Callable[[EngineSettings], bool]


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that is better otherwise."""

    setting: str
    before: int | str
    after: int | str


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best settings that were found, and all that was tried; `skipped` found no time or no memory."""

    engine: EngineSettings
    changes: tuple[Change, ...]
    single: Speed
    together: tuple[Speed, ...]
    tried: tuple[Speed, ...]
    skipped: tuple[str, ...]

    def total_at(self, users: int) -> float:
        """Tokens a second that `users` sequences decode together, as far as was measured."""
        batched = min(users, self.engine.parallel)
        return max(speed.decode for speed in self.together if speed.trial.sequences <= max(1, batched))


class Tuner:
    """One search; `deadline` is by the monotonic clock, `cores` are what the machine gives."""

    def __init__(
        self,
        engine: EngineSettings,
        budget: Budget,
        slo: Slo,
        *,
        cores: int,
        measure: Measure,
        fits: Fits,
        deadline: float,
        seconds: float,
    ) -> None:
        self._engine = engine
        self._slo = slo
        self._cores = cores
        self._measure = measure
        self._fits = fits
        self._deadline = deadline
        self._tried: list[Speed] = []
        self._skipped: list[str] = []
        self._now = Trial(
            threads=max(1, int(budget.cpus)) if engine.threads == "auto" else engine.threads,
            threads_batch=ceil(budget.cpus) if engine.threads_batch == "auto" else engine.threads_batch,
            kv_cache=engine.kv_cache,
            batch=engine.batch,
            flash_attention=engine.flash_attention,
            prompt=PROMPT,
            steps=64,
            seconds=seconds,
        )

    def run(self) -> Tuned:
        """Search until everything was tried or the time is over."""
        declared = self._now
        self._threads()
        self._kv_cache()
        self._batch()
        together = self._together()
        parallel = self._parallel(together)
        chosen = {
            name: getattr(self._now, name) for name in ("threads", "threads_batch", "kv_cache", "batch")
        }
        changes = [
            Change(name, getattr(declared, name), value)
            for name, value in chosen.items()
            if value != getattr(declared, name)
        ]
        if parallel != self._engine.parallel:
            changes.append(Change("parallel", self._engine.parallel, parallel))
        return Tuned(
            engine=self._with(**{change.setting: change.after for change in changes}),
            changes=tuple(changes),
            single=together[0],
            together=tuple(together),
            tried=tuple(self._tried),
            skipped=tuple(self._skipped),
        )

    def _with(self, **changed: Any) -> EngineSettings:
        return self._engine.model_copy(update=changed)

    def _threads(self) -> None:
        """Threads that decode and threads that read prompts are found by the same trials."""
        counts = [self._now.threads, self._now.threads_batch, *_counts(self._cores)]
        trials = [replace(self._now, threads=count, threads_batch=count) for count in dict.fromkeys(counts)]
        speeds = self._try("threads", trials)
        decoding = _best(speeds, lambda one: one.decode, lambda one: one.trial.threads == self._now.threads)
        reading = _best(
            speeds, lambda one: one.prefill, lambda one: one.trial.threads == self._now.threads_batch
        )
        self._now = replace(
            self._now, threads=decoding.trial.threads, threads_batch=reading.trial.threads_batch
        )

    def _kv_cache(self) -> None:
        other: KvCache = "f16" if self._now.kv_cache == "q8_0" else "q8_0"
        if not self._engine.flash_attention:  # llama.cpp has no q8_0 without it
            return
        if not self._fits(self._with(kv_cache=other)):
            self._skipped.append(f"kv_cache {other}: it does not fit the memory budget")
            return
        deep = replace(self._now, prompt=DEEP_PROMPT)
        speeds = self._try("kv_cache", [deep, replace(deep, kv_cache=other)])
        if len(speeds) > 1:
            found = _best(
                speeds, lambda one: one.decode, lambda one: one.trial.kv_cache == self._now.kv_cache
            )
            self._now = replace(self._now, kv_cache=found.trial.kv_cache)

    def _batch(self) -> None:
        sizes = dict.fromkeys((self._now.batch, *BATCHES))
        fitting = [size for size in sizes if self._fits(self._with(batch=size))]
        trials = [replace(self._now, batch=size, prompt=max(sizes), steps=0) for size in fitting]
        speeds = self._try("batch", trials)
        if len(speeds) > 1:
            found = _best(speeds, lambda one: one.prefill, lambda one: one.trial.batch == self._now.batch)
            self._now = replace(self._now, batch=found.trial.batch)

    def _together(self) -> list[Speed]:
        """More and more sequences at once; the first is always measured."""
        trials = [replace(self._now, sequences=count) for count in SEQUENCES]
        first = [speed for speed in self._tried if speed.trial == trials[0]][:1]
        if not first:
            first = list(self._measure(trials[:1]))
            self._tried += first
        return first + self._try("parallel", trials[1:])

    def _parallel(self, speeds: Sequence[Speed]) -> int:
        """The fewest that together are nearly as fast as any number at which each keeps the promised rate.

        The present number, as long as no more than fewer were measured.
        """
        promised, present = self._slo.tokens_per_second, self._engine.parallel
        if speeds[-1].trial.sequences < present:
            return present
        fitting = [one for one in speeds if self._fits(self._with(parallel=one.trial.sequences))]
        kept = [one for one in fitting if promised is None or one.of_one >= promised]
        if not kept:
            return present
        highest = max(one.decode for one in kept)
        found = next(one for one in kept if one.decode * GAIN >= highest)
        now = next((one for one in kept if one.trial.sequences == present), None)
        as_good = now is not None and now.decode * GAIN >= found.decode
        return present if as_good else found.trial.sequences

    def _try(self, setting: str, trials: Sequence[Trial]) -> list[Speed]:
        """Measure what there is still time for, by what was measured so far; the very first trial always."""
        speeds: list[Speed] = []
        if not self._tried:
            speeds, trials = list(self._measure(trials[:1])), trials[1:]
            self._tried += speeds
        room = max(0.0, self._deadline - time.monotonic())
        fitting: list[Trial] = []
        for trial in trials:
            room -= self._cost(trial)
            if room >= 0:
                fitting.append(trial)
            else:
                self._skipped.append(f"{setting} {_value(setting, trial)}: no time was left")
        more = list(self._measure(fitting)) if fitting else []
        self._tried += more
        return speeds + more

    def _cost(self, trial: Trial) -> float:
        """Seconds that a trial will take at least."""
        prefill = max(speed.prefill for speed in self._tried)
        return max(trial.seconds, trial.prompt / prefill) + trial.seconds


def _counts(cores: int) -> Iterable[int]:
    """Numbers of threads that are worth a trial: all cores, half of them (one a physical core), and 1."""
    return sorted({1, max(1, cores // 2), cores}, reverse=True)


def _best(speeds: Sequence[Speed], rate: Callable[[Speed], float], present: Callable[[Speed], bool]) -> Speed:
    """The fastest, or the present one where nothing is faster beyond noise."""
    fastest = max(speeds, key=rate)
    now = next((speed for speed in speeds if present(speed)), None)
    return now if now is not None and rate(now) * GAIN >= rate(fastest) else fastest


def _value(setting: str, trial: Trial) -> int | str:
    return trial.sequences if setting == "parallel" else str(getattr(trial, setting))
