"""The findings as data and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from genesis_stack.capacity.findings import GIGA, Findings, Need
from genesis_stack.capacity.levels import Level
from genesis_stack.capacity.trial import Speed
from genesis_stack.loadtest.verdict import Row, as_text, figure
from genesis_stack.modelstore.quantity import show_size

SCHEMA_VERSION: Final = 1
BUSY: Final = 0.3
"""Load average of the last minute above which the figures are not the machine's."""


def as_json(found: Findings, patch: str) -> dict[str, Any]:
    """Everything that was measured; sizes in bytes, times in seconds, rates in tokens a second."""
    single = found.tuned.single
    return {
        "schema_version": SCHEMA_VERSION,
        "model": found.subject.name,
        "synthetic": found.subject.synthetic,
        "weight_bytes": found.weight_bytes,
        "load_average": found.load_average,
        "bandwidth": asdict(found.bandwidth),
        "engine": {"prefill": single.prefill, "decode": single.decode},
        "bandwidth_ratio": found.bandwidth_ratio,
        "trials": [asdict(speed.trial) | _rates(speed) for speed in found.tuned.tried],
        "skipped": list(found.tuned.skipped),
        "changes": [asdict(change) for change in found.tuned.changes],
        "levels": [asdict(level) | {"kept": level.kept} for level in found.levels],
        "users": found.users,
        "promises": [asdict(need) for need in found.needs],
        "patch": patch,
    }


def as_page(found: Findings) -> str:
    """What an operator reads."""
    parts = [
        _head(found),
        as_text(_limit_rows(found)),
        as_text(_trial_rows(found)),
        as_text(_level_rows(found)),
    ]
    if found.needs:
        parts.append(as_text([_NEED_HEAD, *map(_need_row, found.needs)]))
    return "\n\n".join([*parts, "\n".join(_conclusion(found))])


def _rates(speed: Speed) -> dict[str, float]:
    return {"prefill": speed.prefill, "decode": speed.decode}


def _head(found: Findings) -> str:
    subject = found.subject
    what = "" if subject.synthetic is None else f", random weights of the shape of {subject.synthetic}"
    return f"{subject.name}: {show_size(found.weight_bytes)} of {subject.facts.quantization} weights{what}"


def _limit_rows(found: Findings) -> list[Row]:
    single, trial = found.tuned.single, found.tuned.single.trial
    return [
        ("limit", "measured", "how"),
        ("memory", f"{found.bandwidth.bytes_per_second / GIGA:.1f} GB/s", found.bandwidth.method),
        ("llama.cpp, reading", f"{single.prefill:.1f} tokens/s", f"a prompt of {trial.prompt} tokens"),
        ("llama.cpp, decoding", f"{single.decode:.1f} tokens/s", "one sequence, nothing else"),
        (
            "",
            f"{found.weights_read / GIGA:.1f} GB/s",
            f"of weights that decoding reads: {found.bandwidth_ratio:.0%} of the memory's rate",
        ),
    ]


def _trial_rows(found: Findings) -> list[Row]:
    head = ("threads", "batch", "KV cache", "prompt", "sequences", "prefill", "decode", "of one")
    return [head, *(_trial_row(speed) for speed in found.tuned.tried)]


def _trial_row(speed: Speed) -> Row:
    trial = speed.trial
    threads = str(trial.threads)
    if trial.threads_batch != trial.threads:
        threads += f" (prompts {trial.threads_batch})"
    decode, of_one = ("-", "-") if not speed.decode else (f"{speed.decode:.1f}", f"{speed.of_one:.1f}")
    numbers = (str(trial.prompt), str(trial.sequences))
    return (threads, str(trial.batch), trial.kv_cache, *numbers, f"{speed.prefill:.1f}", decode, of_one)


def _level_rows(found: Findings) -> list[Row]:
    head = ("users", "tokens/s", "of one", "TTFT p95", "latency p95", "ITL p99", "requests", "promises")
    return [head, *(_level_row(level) for level in found.levels)]


def _level_row(level: Level) -> Row:
    broken = ", ".join(check.promise for check in level.checks if not check.kept)
    times = (figure(value, "s") for value in (level.ttft_p95, level.latency_p95, level.itl_p99))
    of_one = "-" if level.of_one is None else f"{level.of_one:.1f}"
    failed = f" ({level.failed} failed)" if level.failed else ""
    said = "kept" if level.kept else f"BROKEN: {broken}"
    return (str(level.users), f"{level.total:.1f}", of_one, *times, f"{level.requests}{failed}", said)


_NEED_HEAD: Final[Row] = ("promise", "promised", "one user gets", "verdict", "what that takes")


def _need_row(need: Need) -> Row:
    said = {None: "not measured", True: "within reach", False: "OUT OF REACH"}[need.held]
    return (
        need.promise,
        figure(need.promised, need.unit),
        figure(need.measured, need.unit),
        said,
        need.takes,
    )


def _conclusion(found: Findings) -> Iterator[str]:
    if not found.users:
        yield "Not even one user gets what is promised."
    else:
        most = found.levels[-1]
        more = "" if most.users > found.users else ", and more were not tried"
        yield f"Users without a pause for whom every promise holds: {found.users}{more}."
    for change in found.tuned.changes:
        yield f"Better: {change.setting}: {change.after} (now {change.before})."
    if not found.tuned.changes:
        yield "Nothing that was tried is better than the present settings."
    if found.tuned.skipped:
        yield f"Not tried: {'; '.join(found.tuned.skipped)}."
    if found.load_average > BUSY:
        yield (
            f"Others used {found.load_average:.1f} processors when this began: "
            "measure again when nothing else runs."
        )
