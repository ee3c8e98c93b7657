"""Python's own share of a step: all of it but `llama_decode` and the sampler calls.

    python -m benchmarks.engine --gguf MODEL.gguf

Runs the scheduler with 1, 4, 8 and 16 sequences, without a server and without clients, and times each step
from outside, and within it llama.cpp's calls. What remains is Python.
"""

from __future__ import annotations

import argparse
import statistics
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genesis_stack.engine import bindings
from genesis_stack.engine.context import Context
from genesis_stack.engine.guesser import Guesser
from genesis_stack.engine.interface import GenerationRequest, SamplingParams
from genesis_stack.engine.model import Model
from genesis_stack.engine.pace import Pace
from genesis_stack.engine.prefix_store import PrefixStore
from genesis_stack.engine.sampler import Sampler
from genesis_stack.engine.scheduler import Scheduler
from genesis_stack.engine.slots import Slots
from genesis_stack.engine.ticket import Ticket
from genesis_stack.protocol.serve_config import EngineConfig

TOKENS = 200


@dataclass
class Inside:
    """Seconds spent in llama.cpp since the last reset."""

    seconds: float = 0.0

    def timing(self, function: Callable[..., object]) -> Callable[..., object]:
        """`function`, its time added up here."""

        def timed(*args: object) -> object:
            started = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def own_share(model: Model, config: EngineConfig, sequences: int) -> tuple[float, float]:
    """Median milliseconds of Python, and of a whole step, while `sequences` decode."""
    context = Context(model, config, sequences=2 * sequences, threads=(config.threads, config.threads_batch))
    slots = Slots(context, PrefixStore(0), live=sequences, cached=sequences, shares=True)
    pace = Pace(config.step_target_ms / 1000)
    scheduler = Scheduler(
        model,
        context,
        slots,
        pace,
        parallel=sequences,
        context_length=config.context,
        guesser=Guesser(pace, looks_up=config.speculation == "ngram", drafter=None),
        deliver=lambda _ticket, _delta: None,
    )
    inside = Inside()
    context.decode = inside.timing(context.decode)  # type: ignore[method-assign]
    original = Sampler.sample
    Sampler.sample = inside.timing(original)  # type: ignore[method-assign,assignment]
    try:
        for number in range(sequences):
            prompt = model.tokenize(f"{number} is a number of which", add_special=True, parse_special=False)
            params = SamplingParams(
                temperature=0.7, top_k=40, seed=number, max_tokens=TOKENS, ignore_eos=True
            )
            request = GenerationRequest(str(number), array("i", prompt), params)
            scheduler.enqueue(Ticket(request, prompt, None, None, lambda _delta: None))
        own, whole = [], []
        while scheduler.busy:
            inside.seconds = 0.0
            started = time.perf_counter()
            scheduler.step()
            seconds = time.perf_counter() - started
            if len(scheduler.live) == sequences:
                own.append(1000 * (seconds - inside.seconds))
                whole.append(1000 * seconds)
        return statistics.median(own), statistics.median(whole)
    finally:
        Sampler.sample = original  # type: ignore[method-assign]
        context.close()


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, default=Path(".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    bindings.initialise()
    model = Model(str(options.gguf), mlock=False)
    print("| sequences | Python, ms a step | whole step, ms | share |")
    print("|---|---|---|---|")
    for sequences in (1, 4, 8, 16):
        config = EngineConfig(
            context=512,
            parallel=sequences,
            threads=options.threads,
            threads_batch=options.threads,
            batch=512,
            kv_cache="f16",
            flash_attention=True,
            mlock=False,
            speculation="off",
            queue_requests=64,
            queue_tokens=65536,
            image_tokens=1024,
            image_memory=0,
            step_target_ms=120,
            prefix_cache=True,
            prefix_cache_ram=0,
            prefix_cache_disk=0,
            prefix_cache_dir=None,
        )
        own, whole = own_share(model, config, sequences)
        print(f"| {sequences} | {own:.3f} | {whole:.1f} | {own / whole:.1%} |")


if __name__ == "__main__":
    main()
