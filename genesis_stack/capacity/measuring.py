"""The whole measurement: memory, llama.cpp by itself, then the server with the best settings found."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from genesis_stack import process
from genesis_stack.capacity.bandwidth import measure_bandwidth
from genesis_stack.capacity.findings import Findings
from genesis_stack.capacity.levels import measure_levels
from genesis_stack.capacity.serving import serving
from genesis_stack.capacity.subject import Subject, free_memory
from genesis_stack.capacity.trial import Speed, Trial
from genesis_stack.capacity.tuning import Tuned, Tuner
from genesis_stack.errors import GenesisError
from genesis_stack.modelstore.host import read_host
from genesis_stack.render.serve import spin_count

TUNING_SHARE: Final = 0.4
"""Of the time, for finding settings."""
TRIALS: Final = 180
LONGEST_TRIAL: Final = 1.5
"""Seconds of either half of a trial, which else is the time divided by TRIALS."""
ANSWER_TOKENS: Final = (8, 64)
ANSWERS: Final = 30
"""Longest answer in tokens, between these bounds: so that one user gets this many in the time."""

Say = Callable[[str], None]


def measure(subject: Subject, *, seconds: float, say: Say) -> Findings:
    """Measure one model in about so many seconds; `say` is told how far it is.

    What there is no more time for is left out, but for the first of each kind.

    Raises:
        GenesisError: llama.cpp or the server cannot run the model here.
    """
    begun, others = time.monotonic(), os.getloadavg()[0]
    cores = max(1, int(min(read_host().cpus, subject.model.budget.cpus)))
    say(f"reading memory with {cores} threads")
    bandwidth = measure_bandwidth(cores, seconds=_trial(seconds), free=free_memory())
    tuned = _tuned(subject, cores, begun, seconds, say)
    with tempfile.TemporaryDirectory(prefix="genesis-bench-") as scratch:
        say("starting the server")
        with serving(subject, tuned.engine, Path(scratch)) as bench:
            shortest, longest = ANSWER_TOKENS
            tokens = max(shortest, min(longest, int(seconds / ANSWERS * tuned.single.decode)))
            levels = measure_levels(bench, tuned, deadline=begun + seconds, tokens=tokens, say=say)
            return Findings(subject, bandwidth, tuned, tuple(levels), others)


def _trial(seconds: float) -> float:
    return min(LONGEST_TRIAL, seconds / TRIALS)


def _tuned(subject: Subject, cores: int, begun: float, seconds: float, say: Say) -> Tuned:
    tuner = Tuner(
        subject.model.engine,
        subject.model.budget,
        subject.model.slo,
        cores=cores,
        measure=lambda trials: _raw(subject.path, trials, say),
        fits=subject.fits,
        deadline=begun + TUNING_SHARE * seconds,
        seconds=_trial(seconds),
    )
    return tuner.run()


def _raw(path: Path, trials: Sequence[Trial], say: Say) -> Iterator[Speed]:
    """Each trial's speed, as soon as it is known."""
    given = json.dumps([asdict(trial) for trial in trials])
    argv: list[str | Path] = [sys.executable, "-m", "genesis_stack.capacity.raw_engine", path, given]
    spins = spin_count(path.stat().st_size, alone=True)
    count = 0
    for line in process.stream(argv, env={"GOMP_SPINCOUNT": str(spins), **os.environ}):
        answer = json.loads(line)
        speed = Speed(Trial(**answer["trial"]), answer["prefill"], answer["decode"])
        say(f"  {_shown(speed)}")
        count += 1
        yield speed
    if count < len(trials):
        raise GenesisError("llama.cpp did not get through the trials", hint="what it said stands above")


def _shown(speed: Speed) -> str:
    trial = speed.trial
    threads = "1 thread" if trial.threads == 1 else f"{trial.threads} threads"
    parts = [threads, f"batch {trial.batch}", trial.kv_cache]
    if trial.sequences > 1:
        parts.append(f"{trial.sequences} sequences")
    rates = f"reads {speed.prefill:.1f} tokens/s"
    return f"{', '.join(parts)}: {rates}" + (f", decodes {speed.decode:.1f}" if speed.decode else "")
