"""The whole measurement: memory, llama.cpp by itself, then the server with the best settings found."""

from __future__ import annotations

import json
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

BOX: Final = {True: 90.0, False: 360.0}
"""Seconds of a measurement, quick or not; what no longer fits is left out, but the first of each kind."""
TUNING_SHARE: Final = 0.4
TRIAL_SECONDS: Final = {True: 0.5, False: 1.5}
ANSWER_TOKENS: Final = {True: 24, False: 64}

Say = Callable[[str], None]


def measure(subject: Subject, *, quick: bool, say: Say) -> Findings:
    """Measure one model; `say` is told how far it is.

    Raises:
        GenesisError: llama.cpp or the server cannot run the model here.
    """
    begun = time.monotonic()
    cores = max(1, int(min(read_host().cpus, subject.model.budget.cpus)))
    say(f"reading memory with {cores} threads")
    bandwidth = measure_bandwidth(cores, seconds=TRIAL_SECONDS[quick], free=free_memory())
    tuned = _tuned(subject, cores, begun, quick=quick, say=say)
    with tempfile.TemporaryDirectory(prefix="genesis-bench-") as scratch:
        say("starting the server")
        with serving(subject, tuned.engine, Path(scratch)) as bench:
            deadline = begun + BOX[quick]
            levels = measure_levels(bench, tuned, deadline=deadline, tokens=ANSWER_TOKENS[quick], say=say)
            return Findings(subject, bandwidth, tuned, tuple(levels))


def _tuned(subject: Subject, cores: int, begun: float, *, quick: bool, say: Say) -> Tuned:
    tuner = Tuner(
        subject.model.engine,
        subject.model.budget,
        subject.model.slo,
        cores=cores,
        measure=lambda trials: _raw(subject.path, trials, say),
        fits=subject.fits,
        deadline=begun + TUNING_SHARE * BOX[quick],
        seconds=TRIAL_SECONDS[quick],
    )
    return tuner.run()


def _raw(path: Path, trials: Sequence[Trial], say: Say) -> Iterator[Speed]:
    """Each trial's speed, as soon as it is known."""
    given = json.dumps([asdict(trial) for trial in trials])
    argv = [sys.executable, "-m", "genesis_stack.capacity.raw_engine", path, given]
    count = 0
    for line in process.stream(argv):
        answer = json.loads(line)
        speed = Speed(Trial(**answer["trial"]), answer["prefill"], answer["decode"])
        say(f"  {_shown(speed)}")
        count += 1
        yield speed
    if count < len(trials):
        raise GenesisError("llama.cpp did not get through the trials", hint="what it said stands above")


def _shown(speed: Speed) -> str:
    trial = speed.trial
    parts = [f"{trial.threads} threads", f"batch {trial.batch}", trial.kv_cache]
    if trial.sequences > 1:
        parts.append(f"{trial.sequences} sequences")
    rates = f"reads {speed.prefill:.1f} tokens/s"
    return f"{', '.join(parts)}: {rates}" + (f", decodes {speed.decode:.1f}" if speed.decode else "")
