"""What security and observability add to a request, measured on and off in one run against live servers.

    python -m benchmarks.overhead [--rounds N] [--requests N] [--tokens N] [--json]
    python -m benchmarks.overhead --gguf FILE --rounds 24 --requests 1

Three servers stand side by side: one with nothing, one as usual (Bearer key, limits, guard, audit record, log
line), one with everything (a signature instead of the key, and every request in spans). They are called in
turns, forwards and backwards, so that a machine that slows down disturbs all of them alike; each round gives
one difference to the server with nothing, and the figures are medians of these with their 95 % interval.
Beside them stands the difference of the fastest tenths, which other work on the machine disturbs the least.

Without a model the engine answers at once and the clock shows the server's own work. With one, decoding takes
all but everything of a request, and differences of a tenth of a millisecond drown in its own; so the CPU time
of all threads but the engine's is told too.

Metrics cannot be off. What they cost is measured by itself, in this process, and added.

Limits: 0.4 ms a request and 20 us a token; with a model of 8B, under 1 % of the request's time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.overhead.caller import Block, Side
from benchmarks.overhead.estimate import Estimate
from benchmarks.overhead.figures import Added, Figures
from benchmarks.overhead.metrics_alone import metrics_cost
from benchmarks.overhead.sides import three_sides

Blocks = dict[Side, list[Block]]


def main() -> None:
    """Print the figures; the exit status is 1 when a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gguf", type=Path, help="model file; without one the engine answers at once")
    parser.add_argument("--rounds", type=int, default=40, help="blocks of each kind to each server")
    parser.add_argument("--requests", type=int, default=20, help="requests of a block")
    parser.add_argument("--tokens", type=int, default=65, help="tokens of the long answer; the short has one")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    gguf = arguments.gguf and arguments.gguf.resolve()
    figures = measure(gguf, arguments.rounds, arguments.requests, arguments.tokens)
    if arguments.json:
        print(json.dumps({"schema_version": 2, **asdict(figures), "misses": figures.misses}, indent=2))
    else:
        print(figures.text())
    sys.exit(bool(figures.misses))


def measure(gguf: Path | None, rounds: int, requests: int, tokens: int) -> Figures:
    """Call all servers in turns."""
    short: Blocks = {side: [] for side in Side}
    long: Blocks = {side: [] for side in Side}
    with (
        tempfile.TemporaryDirectory(prefix="overhead-") as scratch,
        three_sides(gguf, Path(scratch)) as sides,
    ):
        for number in range(rounds):
            order = list(sides.items())[:: -1 if number % 2 else 1]
            for length, blocks in ((1, short), (tokens, long)):
                for side, caller in order:
                    blocks[side].append(caller.block(length, requests))
    metrics = metrics_cost()
    return Figures(
        model=None if gguf is None else str(gguf),
        rounds=rounds,
        requests=requests,
        tokens=tokens,
        off_ms=statistics.median(block.wall for block in long[Side.OFF]) * 1e3,
        off_short_ms=statistics.median(block.wall for block in short[Side.OFF]) * 1e3,
        metrics_request_ms=metrics[0] * 1e3,
        metrics_token_us=metrics[1] * 1e6,
        usual=_added(Side.USUAL, short, long, tokens, metrics),
        all=_added(Side.ALL, short, long, tokens, metrics),
    )


def _added(side: Side, short: Blocks, long: Blocks, tokens: int, metrics: tuple[float, float]) -> Added:
    """Figures of one side beside those of the server with nothing on."""
    of_one = list(zip(short[side], short[Side.OFF], strict=True))
    of_many = list(zip(long[side], long[Side.OFF], strict=True))
    wall = [on.wall - off.wall for on, off in of_one], [on.wall - off.wall for on, off in of_many]
    cpu = [on.cpu - off.cpu for on, off in of_one], [on.cpu - off.cpu for on, off in of_many]
    least_short, least_long = (_least(blocks[side]) - _least(blocks[Side.OFF]) for blocks in (short, long))
    return Added(
        wall_ms=_request_ms(wall[0], metrics),
        wall_token_us=_token_us(*wall, tokens, metrics),
        cpu_ms=_request_ms(cpu[0], metrics),
        cpu_token_us=_token_us(*cpu, tokens, metrics),
        whole_ms=Estimate.of([(one + metrics[0] + metrics[1] * tokens) * 1e3 for one in wall[1]]),
        whole_cpu_ms=Estimate.of([(one + metrics[0] + metrics[1] * tokens) * 1e3 for one in cpu[1]]),
        least_ms=(least_short + metrics[0]) * 1e3,
        least_token_us=((least_long - least_short) / (tokens - 1) + metrics[1]) * 1e6,
    )


def _least(blocks: list[Block]) -> float:
    """The first decile of all requests."""
    return statistics.quantiles([wall for block in blocks for wall in block.walls], n=10)[0]


def _request_ms(differences: list[float], metrics: tuple[float, float]) -> Estimate:
    """Of a request of one token; the token is counted in."""
    return Estimate.of([(one + metrics[0]) * 1e3 for one in differences])


def _token_us(short: list[float], long: list[float], tokens: int, metrics: tuple[float, float]) -> Estimate:
    slopes = ((many - one) / (tokens - 1) for one, many in zip(short, long, strict=True))
    return Estimate.of([(slope + metrics[1]) * 1e6 for slope in slopes])


if __name__ == "__main__":
    main()
