"""A llama.cpp context: its KV cells and the one batch that is decoded step after step.

Only the engine's thread touches it.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from genesis_stack.engine.adapter import Adapter
from genesis_stack.engine.batch import Batch
from genesis_stack.engine.bindings import lib
from genesis_stack.engine.image_rows import ImageRows
from genesis_stack.engine.images import LoadedImage
from genesis_stack.engine.interface import EngineError
from genesis_stack.engine.model import Model
from genesis_stack.engine.projector import Projector
from genesis_stack.protocol.kv_cells import kv_cells
from genesis_stack.protocol.serve_config import EngineConfig

MAX_SEQUENCES: Final = 256
"""llama.cpp's LLAMA_MAX_SEQ."""
_BATCH: Final = 2048
"""Rows of one `llama_decode`, which llama.cpp computes in pieces of the configured batch: the short prompts
of a burst are then read in one go, and everyone's first token is followed by the second at once."""
_GGML_TYPES: Final = {"f16": 1, "q8_0": 8}


class DecodeError(EngineError):
    """`llama_decode` refused or failed; `status` is its return value."""

    def __init__(self, status: int) -> None:
        super().__init__(f"llama_decode returned {status}")
        self.status = status


class Context:
    """KV cells shared by all sequences, and the batch that is filled and decoded step after step.

    Args:
        model: the weights.
        config: context length, KV type, batch size.
        sequences: how many sequence ids exist, at most 256.
        threads: decode and prefill threads.
        embeddings: produce pooled embeddings instead of logits.
        projector: the image encoder, where the model has one.

    Raises:
        EngineError: llama.cpp cannot allocate the context.
    """

    def __init__(
        self,
        model: Model,
        config: EngineConfig,
        *,
        sequences: int,
        threads: tuple[int, int],
        embeddings: bool = False,
        projector: Projector | None = None,
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = kv_cells(config.context, config.parallel)
        rows = max(config.context if embeddings else config.batch, sequences)  # else llama.cpp aborts
        params.n_ubatch = rows
        params.n_batch = rows if embeddings else max(rows, _BATCH)
        params.n_seq_max = sequences
        params.n_threads, params.n_threads_batch = threads
        params.type_k = params.type_v = _GGML_TYPES[config.kv_cache]
        params.flash_attn_type = int(config.flash_attention)
        params.kv_unified = True
        params.swa_full = True
        params.embeddings = embeddings
        params.no_perf = True
        self.pointer: Any = lib.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise EngineError(
                f"llama.cpp cannot allocate {params.n_ctx} cells of {config.kv_cache} KV cache; "
                "lower context or parallel"
            )
        self.sequences = sequences
        self.cells: int = lib.llama_n_ctx(self.pointer)
        self.longest_run: int = lib.llama_n_ubatch(self.pointer)
        self._projector = projector
        self._adapters: dict[str, Adapter] = {}
        self._memory = lib.llama_get_memory(self.pointer)
        self.batch = Batch(lib.llama_n_batch(self.pointer), self.cells)

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Let `use_adapter` find a LoRA adapter of this context's model."""
        self._adapters[name] = adapter

    def use_adapter(self, name: str) -> None:
        """Compute with this LoRA adapter from now on; with none for an empty name."""
        chosen = [self._adapters[name]] if name else []
        pointers = (lib.llama_adapter_lora_p_ctypes * 1)(*(adapter.pointer for adapter in chosen))
        scales = (ctypes.c_float * 1)(*(adapter.scale for adapter in chosen))
        lib.llama_set_adapters_lora(self.pointer, pointers, len(chosen), scales)

    def close(self) -> None:
        """Free the cells."""
        if self.pointer:
            lib.llama_free(self.pointer)
            self.pointer = None

    def decode(self) -> None:
        """Run the batch; returns when its logits are there.

        Raises:
            DecodeError: no cells (1), aborted (2), or a failure inside llama.cpp (< 0).
        """
        self._run(self.batch.struct)

    def image_rows(self, image: LoadedImage, sequence: int, first: int, start: int, count: int) -> ImageRows:
        """Rows for `count` cells of an image from its cell `start`; its first position is `first`."""
        assert self._projector is not None  # noqa: S101 -- who else prepared the image?
        return ImageRows(self._projector, image, sequence=sequence, first=first, start=start, count=count)

    def decode_image(self, rows: ImageRows) -> None:
        """Compute the cells of a piece of an image; none of them gives logits. Raises as `decode` does."""
        if not rows.causal:
            lib.llama_set_causal_attn(self.pointer, False)  # noqa: FBT003 -- the C signature
        try:
            self._run(rows.struct)
        finally:
            if not rows.causal:
                lib.llama_set_causal_attn(self.pointer, True)  # noqa: FBT003 -- the C signature

    def _run(self, struct: Any) -> None:
        status = lib.llama_decode(self.pointer, struct)
        if status == 0:
            # Without this the wait would fall into the first sampler call.
            lib.llama_synchronize(self.pointer)
            return
        raise DecodeError(status)

    # The cells

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` cells of `source`."""
        lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def truncate(self, sequence: int, length: int) -> None:
        """Forget what `sequence` holds at positions from `length` on."""
        lib.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def clear(self) -> None:
        """Forget every sequence."""
        lib.llama_memory_clear(self._memory, False)  # noqa: FBT003 -- the C signature

    # Sequence state as bytes

    def save(self, sequence: int) -> bytes:
        """The KV cells of `sequence`, copied to the host."""
        size = lib.llama_state_seq_get_size(self.pointer, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = lib.llama_state_seq_get_data(self.pointer, buffer, size, sequence)
        return bytes(memoryview(buffer)[:written])

    def restore(self, sequence: int, state: bytes) -> bool:
        """Fill an empty `sequence` from saved cells; False when llama.cpp refuses them."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        return bool(lib.llama_state_seq_set_data(self.pointer, buffer, len(state), sequence))
