"""What an engine tells about itself: what is loaded, and how it is doing."""

from __future__ import annotations

from collections.abc import Iterable

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.counters import Counters
from genesis_stack.engine.interface import EngineInfo, EngineState, EngineStats
from genesis_stack.engine.sequence import Sequence
from genesis_stack.engine.ticket import Ticket
from genesis_stack.engine.worker import Worker
from genesis_stack.protocol.serve_config import ServeConfig


def describe(config: ServeConfig, worker: Worker) -> EngineInfo:
    """What `worker` has loaded."""
    model = worker.model
    pointer = model.pointer
    return EngineInfo(
        model=config.model,
        architecture=model.metadata("general.architecture") or "unknown",
        description=model.description,
        n_vocab=model.n_vocab,
        n_embd=lib.llama_model_n_embd(pointer),
        n_layers=lib.llama_model_n_layer(pointer),
        n_context_train=lib.llama_model_n_ctx_train(pointer),
        n_context=config.engine.context,
        n_parallel=config.engine.parallel,
        n_params=lib.llama_model_n_params(pointer),
        size_bytes=lib.llama_model_size(pointer),
        threads=worker.threads[0],
        threads_batch=worker.threads[1],
        kv_cache=config.engine.kv_cache,
        flash_attention=config.engine.flash_attention,
        mlocked=model.mlocked,
        pooling=worker.embedder.pooling if worker.embedder else "none",
        chat_template=model.chat_template,
        bos_text=model.special_text(lib.llama_vocab_bos(model.vocab)),
        eos_text=model.special_text(lib.llama_vocab_eos(model.vocab)),
        control_tokens=model.control_tokens,
        sees=worker.projector is not None,
    )


def measure(worker: Worker | None, tickets: Iterable[Ticket]) -> EngineStats:
    """Counters and gauges of this instant; zeros before the model is loaded."""
    loaded = worker is not None and worker.state is not EngineState.STARTING and worker.loaded
    counters = worker.scheduler.counters if worker and loaded else Counters()
    live: list[Sequence] = list(worker.scheduler.live) if worker and loaded else []
    waiting = [t for t in tickets if t.waiting_choices]
    return EngineStats(
        state=worker.state if worker else EngineState.STARTING,
        requests_running=len({id(s.ticket) for s in live}),
        requests_waiting=len(waiting),
        waiting_prompt_tokens=sum(len(t.prompt) for t in waiting),
        prompt_tokens_total=counters.prompt_tokens,
        cached_tokens_total=counters.cached_tokens,
        generated_tokens_total=counters.generated_tokens,
        prefill_seconds_total=counters.prefill_seconds,
        decode_seconds_total=counters.decode_seconds,
        steps_total=counters.steps,
        busy_slots_total=counters.busy_slots,
        requests_finished_total=dict(counters.finished),
        queue_times=counters.queue_times.read(),
        prefill_times=counters.prefill_times.read(),
        decode_times=counters.decode_times.read(),
        inter_token_times=counters.inter_token_times.read(),
        drafted_tokens_total=counters.drafted_tokens,
        accepted_tokens_total=counters.accepted_tokens,
        kv_cells_used=worker.scheduler.cells_used if worker and loaded else 0,
        kv_cells=worker.context.cells if worker and loaded else 0,
        last_step=counters.last_step,
        slots=tuple(sequence.stats() for sequence in live),
    )
