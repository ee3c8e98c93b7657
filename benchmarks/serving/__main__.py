"""`python -m benchmarks.serving`: start each server in turn, measure, print tables, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving import __doc__ as about
from benchmarks.serving import peers, sources
from benchmarks.serving.measurement import Measurement, measure, measure_churn
from benchmarks.serving.promises import OURS, REFERENCE, judge
from benchmarks.serving.report import as_json, as_markdown
from benchmarks.serving.running import ServerFailedError, serving
from benchmarks.serving.scenarios import SCENARIOS
from genesis_stack.capacity.bandwidth import measure_bandwidth
from genesis_stack.capacity.subject import free_memory
from genesis_stack.process import ProcessError

_CACHE = Path(__file__).resolve().parents[2] / ".cache"
_ATTEMPTS = 3
_BANDWIDTH_SECONDS = 2.0
_PEERS = (REFERENCE, OURS, "llama_cpp.server", "examples/server")


def _arguments() -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    listing = "\n".join(f"  {scenario.name:11} {scenario.description}" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=about,
        epilog=f"scenarios:\n{listing}\n  churn       --connects connects that leave at random moments",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gguf", type=Path, required=True, help="the model that all servers load")
    parser.add_argument("--peers", default=f"{REFERENCE},{OURS}", help=f"from {','.join(_PEERS)}")
    parser.add_argument("--scenarios", default=",".join([*names, "churn"]), help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--context", type=int, default=4096, help="tokens a slot")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--connects", type=int, default=1000, help="of churn, which runs in one round only")
    parser.add_argument("--deadline", type=float, default=180.0, help="seconds; a longer request has hung")
    parser.add_argument(
        "--quiet",
        type=float,
        default=0.1,
        help="a measurement with more foreign CPU is repeated, twice at most",
    )
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--engine", default="{}", help="JSON laid over our engine's settings")
    parser.add_argument("--llama-server", type=Path, help="a built llama-server (default: build it)")
    parser.add_argument("--llama-server-options", default="", help="added to its command line")
    parser.add_argument("--json", type=Path, default=_CACHE / "serving.json", help="where figures go")
    return parser.parse_args()


def _peer(name: str, arguments: argparse.Namespace) -> peers.Peer:
    cache = _CACHE / "peers"
    match name:
        case "genesis-serve":
            return peers.ours(json.loads(arguments.engine))
        case "llama-server":
            binary = arguments.llama_server or sources.build_llama_server(cache)
            return peers.llama_server(binary, tuple(shlex.split(arguments.llama_server_options)))
        case "llama_cpp.server":
            return peers.packaged_server(sources.packaged_server_packages(cache))
        case "examples/server":
            script, packages = sources.example_server_script(cache), sources.example_server_packages(cache)
            return peers.example_server(script, packages)
        case _:
            raise SystemExit(f"error: no server is called {name}\n  hint: choose from {', '.join(_PEERS)}")


def _available(arguments: argparse.Namespace) -> list[peers.Peer]:
    found = []
    for name in arguments.peers.split(","):
        try:
            found.append(_peer(name, arguments))
        except (sources.SourceError, ProcessError, OSError) as problem:
            _say(f"{name} is left out: {problem}")
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _turns(arguments: argparse.Namespace) -> list[tuple[str, int]]:
    """Scenario and round of each turn; the order of the peers within one is that of --peers."""
    return [
        (scenario, number)
        for scenario in arguments.scenarios.split(",")
        for number in range(1 if scenario == "churn" else arguments.rounds)
    ]


def _measure_all(arguments: argparse.Namespace, contestants: Sequence[peers.Peer]) -> list[Measurement]:
    found = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-serving-") as scratch:
        for scenario, number in _turns(arguments):
            for peer in contestants:
                try:
                    one = _measure_quietly(arguments, peer, scenario, number, Path(scratch))
                except (ServerFailedError, OSError) as problem:
                    _say(f"{scenario} round {number + 1} {peer.name}: FAILED: {problem}")
                    continue
                found.append(one)
    return found


def _measure_quietly(
    arguments: argparse.Namespace, peer: peers.Peer, scenario: str, number: int, scratch: Path
) -> Measurement:
    for _ in range(_ATTEMPTS - 1):
        one = _measure(arguments, peer, scenario, number, scratch)
        if one.foreign_cpu <= arguments.quiet:
            return one
        _say("  others used the CPU: again")
    return _measure(arguments, peer, scenario, number, scratch)


def _measure(
    arguments: argparse.Namespace, peer: peers.Peer, scenario: str, number: int, scratch: Path
) -> Measurement:
    options = {"number": number, "seed": arguments.seed, "deadline": arguments.deadline}
    with serving(peer, _setup(arguments), scratch) as server:
        if scenario == "churn":
            measurement = measure_churn(server, arguments.connects, **options)
        else:
            chosen = next(one for one in SCENARIOS if one.name == scenario)
            measurement = measure(server, chosen, **options)
    _say(_line(measurement))
    return measurement


def _line(one: Measurement) -> str:
    seen = one.figures
    parts = [
        f"{one.scenario} round {one.round + 1} {one.peer}: {seen.tokens_per_second:.1f} tokens/s",
        f"TTFT p50 {seen.ttft_p50:.0f} p95 {seen.ttft_p95:.0f} ms",
        f"inter-token p50 {seen.inter_token_p50:.2f} p99 {seen.inter_token_p99:.1f} ms",
        f"{seen.lost} lost, {seen.hung} hung of {seen.requests}",
        f"client CPU {one.client_cpu:.1%}, foreign CPU {one.foreign_cpu:.0%}",
    ]
    if seen.intruder_ttft is not None:
        parts.append(f"intruder TTFT {seen.intruder_ttft:.0f}, stall p99 {seen.stall_p99:.0f} ms")
    return "\n".join([", ".join(parts), *(f"  {count} times {why}" for why, count in one.complaints.items())])


def _setup(arguments: argparse.Namespace) -> peers.Setup:
    return peers.Setup(
        gguf=arguments.gguf.resolve(),
        threads=arguments.threads,
        context=arguments.context,
        slots=arguments.slots,
    )


def main() -> None:
    """Measure as the command line says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server stays behind
    arguments = _arguments()
    known = {scenario.name for scenario in SCENARIOS} | {"churn"}
    if unknown := set(arguments.scenarios.split(",")) - known:
        raise SystemExit(f"error: no scenario is called {', '.join(sorted(unknown))}\n  hint: see --help")
    if not arguments.gguf.is_file():
        raise SystemExit(f"error: {arguments.gguf} is missing\n  hint: give a model file with --gguf")
    measurements = _measure_all(arguments, _available(arguments))
    threads, free = arguments.threads, free_memory()
    bandwidth = measure_bandwidth(threads, seconds=_BANDWIDTH_SECONDS, free=free)
    verdicts = judge(measurements, model_bytes=arguments.gguf.stat().st_size)
    setup = _setup(arguments)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(as_json(setup, measurements, verdicts, bandwidth))
    print(as_markdown(setup, measurements, verdicts, bandwidth))
    _say(f"figures: {arguments.json}")


if __name__ == "__main__":
    main()
