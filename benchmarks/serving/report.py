"""The measurements as Markdown for people and JSON for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median

from benchmarks.serving.figures import Figures
from benchmarks.serving.measurement import Measurement
from benchmarks.serving.peers import Setup
from benchmarks.serving.promises import REFERENCE, Verdict, paired
from genesis_stack.capacity.bandwidth import Bandwidth

SCHEMA_VERSION = 1

_COLUMNS: tuple[tuple[str, Callable[[Figures], float | None], str], ...] = (
    ("tokens/s", lambda one: one.tokens_per_second, ".1f"),
    ("TTFT p50 ms", lambda one: one.ttft_p50, ".0f"),
    ("TTFT p95 ms", lambda one: one.ttft_p95, ".0f"),
    ("ITL p50 ms", lambda one: one.inter_token_p50, ".2f"),
    ("ITL p99 ms", lambda one: one.inter_token_p99, ".1f"),
    ("ITL max ms", lambda one: one.inter_token_max, ".0f"),
    ("stall p99 ms", lambda one: one.stall_p99, ".0f"),
    ("stall max ms", lambda one: one.stall_max, ".0f"),
    ("intruder TTFT ms", lambda one: one.intruder_ttft, ".0f"),
    ("tokens/arrival", lambda one: one.tokens_per_arrival, ".2f"),
)


def as_json(
    setup: Setup, measurements: Sequence[Measurement], verdicts: Sequence[Verdict], bandwidth: Bandwidth
) -> str:
    """Everything measured, and the verdicts."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "machine": {"platform": platform.platform(), "processor": _processor()},
        "setup": asdict(setup) | {"gguf": setup.gguf.name},
        "bandwidth": asdict(bandwidth),
        "measurements": [asdict(one) for one in measurements],
        "verdicts": [asdict(one) | {"met": one.met} for one in verdicts],
    }
    return json.dumps(document, indent=1)


def as_markdown(
    setup: Setup, measurements: Sequence[Measurement], verdicts: Sequence[Verdict], bandwidth: Bandwidth
) -> str:
    """One table each: figures, ratios to llama-server and to the memory's limit, churn, promises."""
    title = (
        f"`{setup.gguf.name}`, {setup.threads} threads, {setup.slots} slots of {setup.context} tokens, "
        f"{_processor()}. Each cell is the median of the rounds, with the lowest and highest behind it."
    )
    sections = {
        "Figures": _figures_table(measurements),
        "Ratios to llama-server, round by round": _ratios_table(measurements),
        "The memory's limit": _limit_table(measurements, setup.gguf.stat().st_size, bandwidth),
        "Churn": _churn_table(measurements),
        "Promises": _promises_table(verdicts),
    }
    parts = [title, *(f"## {name}\n\n{table}" for name, table in sections.items() if table)]
    return "\n\n".join(parts) + "\n"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:  # noqa: PTH123 -- a line at a time
            names = [line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")]
    except OSError:
        names = []
    return f"{len(names)} cores, {names[0]}" if names else platform.machine()


def _keys(measurements: Sequence[Measurement]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.scenario, one.peer) for one in measurements))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return format(values[0], form)
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _figures_table(measurements: Sequence[Measurement]) -> str:
    rows = []
    for scenario, peer in _keys(measurements):
        rounds = [one for one in measurements if (one.scenario, one.peer) == (scenario, peer)]
        runs = [one.figures for one in rounds]
        cells = [
            _spread([value for run in runs if (value := read(run)) is not None], form)
            for _, read, form in _COLUMNS
        ]
        failed = f"{sum(run.lost for run in runs)} + {sum(run.hung for run in runs)}"
        requests = str(sum(run.requests for run in runs))
        shares = [
            _spread([one.server_cpu for one in rounds], ".0%"),
            _spread([one.client_cpu for one in rounds], ".1%"),
            _spread([one.foreign_cpu for one in rounds], ".0%"),
        ]
        rows.append([scenario, peer, *cells, requests, failed, *shares])
    names = [name for name, _, _ in _COLUMNS]
    header = ["scenario", "server", *names, "requests", "lost + hung"]
    return _table([*header, "server CPU", "client CPU", "foreign CPU"], rows)


def _ratios_table(measurements: Sequence[Measurement]) -> str:
    rows = []
    for scenario, peer in _keys(measurements):
        if peer != REFERENCE and (scenario, REFERENCE) in _keys(measurements):
            cells = [
                _spread(paired(measurements, scenario, peer, read), ".3f") for _, read, _ in _COLUMNS[:-1]
            ]
            rows.append([scenario, peer, *cells])
    return _table(["scenario", "server", *(name for name, _, _ in _COLUMNS[:-1])], rows)


def _limit_table(measurements: Sequence[Measurement], weights: int, bandwidth: Bandwidth) -> str:
    """One client's rate of decoding times the bytes of the weights, which each token reads, as a share."""
    rows = []
    for scenario, peer in _keys(measurements):
        gaps = [
            one.figures.inter_token_p50
            for one in measurements
            if (one.scenario, one.peer) == (scenario, peer) and one.figures.inter_token_p50
        ]
        if scenario.startswith("single-") and gaps:
            rates = [1e3 / gap for gap in gaps]
            read = [rate * weights / 1e9 for rate in rates]
            shares = [rate * weights / bandwidth.bytes_per_second for rate in rates]
            rows.append([scenario, peer, _spread(rates, ".1f"), _spread(read, ".1f"), _spread(shares, ".0%")])
    title = f"of {bandwidth.bytes_per_second / 1e9:.1f} GB/s"
    table = _table(["scenario", "server", "decoded tokens/s", "weights read GB/s", title], rows)
    return f"{table}\n\nMemory: {bandwidth.method}." if table else ""


def _churn_table(measurements: Sequence[Measurement]) -> str:
    rows = [
        [
            one.peer,
            str(one.figures.requests),
            f"{one.before.descriptors} → {one.after.descriptors}",
            f"{one.before.threads} → {one.after.threads}",
            f"{one.before.anonymous_bytes / 2**20:.1f} → {one.after.anonymous_bytes / 2**20:.1f}",
            str(one.after.busy_slots),
        ]
        for one in measurements
        if one.before and one.after
    ]
    return _table(["server", "connects", "descriptors", "threads", "anonymous MiB", "busy slots after"], rows)


def _promises_table(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [
            one.scenario,
            one.promise,
            f"{'≥' if one.at_least else '≤'} {one.limit:g}",
            f"{one.measured:.4g} ({one.spread[0]:.4g} to {one.spread[1]:.4g})",
            one.margin,
        ]
        for one in verdicts
    ]
    return _table(["scenario", "promise", "limit", "measured", "verdict"], rows)
