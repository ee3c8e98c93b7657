"""Times llama.cpp by itself: `python -m genesis_stack.capacity.raw_engine FILE TRIALS`.

TRIALS is a JSON list of trials; each becomes a line of JSON on stdout as soon as it is measured. Nothing of
the engine takes part, so the figures are what the engine and the server can be held against.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import llama_cpp.llama_cpp as lib

from genesis_stack.capacity.trial import Speed, Trial

KV_TYPES: Final = {"f16": 1, "q8_0": 8}
"""Numbers of enum ggml_type."""
_PADDING: Final = 256
_ERROR: Final = 4
_STRIDE: Final = 7919  # a prime: tokens that do not repeat soon


class RawContext:
    """A llama.cpp context set up for one trial, as the engine sets its own up.

    Raises:
        MemoryError: llama.cpp cannot allocate it.
    """

    def __init__(self, model: Any, trial: Trial) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = -(-trial.cells // _PADDING) * _PADDING
        params.n_ubatch = max(trial.batch, trial.sequences)
        params.n_batch = max(trial.prompt, params.n_ubatch)
        params.n_seq_max = trial.sequences
        params.n_threads, params.n_threads_batch = trial.threads, trial.threads_batch
        params.type_k = params.type_v = KV_TYPES[trial.kv_cache]
        params.flash_attn_type = int(trial.flash_attention)
        params.kv_unified = True
        params.no_perf = True
        self._pointer: Any = lib.llama_init_from_model(model, params)
        if not self._pointer:
            raise MemoryError(f"llama.cpp cannot allocate {params.n_ctx} cells of {trial.kv_cache}")
        self._memory = lib.llama_get_memory(self._pointer)
        self._words = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
        self._batch: Any = lib.llama_batch_init(params.n_batch, 0, 1)

    def close(self) -> None:
        """Free it."""
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._pointer)

    def clear(self) -> None:
        """Forget every sequence."""
        lib.llama_memory_clear(self._memory, False)  # noqa: FBT003 -- the C signature

    def share(self, sequences: int) -> None:
        """Let the other sequences have what the first one read."""
        for sequence in range(1, sequences):
            lib.llama_memory_seq_cp(self._memory, 0, sequence, 0, -1)

    def read(self, tokens: int) -> None:
        """Let the first sequence read a prompt."""
        self._run([(0, at) for at in range(tokens)], outputs=1)

    def step(self, sequences: int, position: int) -> None:
        """Let every sequence go on by a token."""
        self._run([(sequence, position) for sequence in range(sequences)], outputs=sequences)

    def _run(self, rows: Sequence[tuple[int, int]], *, outputs: int) -> None:
        batch = self._batch
        batch.n_tokens = len(rows)
        for row, (sequence, position) in enumerate(rows):
            batch.token[row] = (position + sequence) * _STRIDE % self._words
            batch.pos[row] = position
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = sequence
            batch.logits[row] = row >= len(rows) - outputs
        status = lib.llama_decode(self._pointer, batch)
        lib.llama_synchronize(self._pointer)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")


def measure(model: Any, trial: Trial) -> Speed:
    """How fast a trial is; nothing of the first touch of weights and buffers is in it."""
    context = RawContext(model, trial)
    try:
        context.step(1, 0)
        prefill = statistics.median(_prompts(context, trial))
        context.share(trial.sequences)
        decode = statistics.median(_steps(context, trial)) if trial.steps else 0.0
        return Speed(trial, prefill, decode)
    finally:
        context.close()


def _prompts(context: RawContext, trial: Trial) -> list[float]:
    rates: list[float] = []
    begun = time.perf_counter()
    while not rates or time.perf_counter() - begun < trial.seconds:
        context.clear()
        rates.append(trial.prompt / _seconds(partial(context.read, trial.prompt)))
    return rates


def _steps(context: RawContext, trial: Trial) -> list[float]:
    rates: list[float] = []
    begun = time.perf_counter()
    for step in range(trial.steps):
        position = trial.prompt + step
        rates.append(trial.sequences / _seconds(partial(context.step, trial.sequences, position)))
        if time.perf_counter() - begun >= trial.seconds:
            break
    return rates


def _seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _complain(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR:
        sys.stderr.write(text.decode("utf-8", "replace"))


def main() -> None:
    """Measure what the command line names."""
    path, trials = sys.argv[1:]
    callback = lib.llama_log_callback(_complain)
    lib.llama_log_set(callback, ctypes.c_void_p())
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    model: Any = lib.llama_model_load_from_file(path.encode(), params)
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    for trial in json.loads(trials):
        try:
            speed = measure(model, Trial(**trial))
        except (MemoryError, RuntimeError) as error:
            sys.exit(f"{error}, with {trial}")
        print(json.dumps(asdict(speed)), flush=True)  # noqa: T201 -- its answer


if __name__ == "__main__":
    main()
