"""llama.cpp's own way through a prompt with images: `mtmd_helper_eval_chunks`, then greedy steps.

It shares no code with the engine beside the bindings.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from engine.tiny_vision import VisionFiles
from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import Image, Token


def greedy(files: VisionFiles, text: str, images: Sequence[Image], *, count: int) -> list[Token]:
    """The first `count` tokens behind `text`, in which each image stands as `<__media__>`."""
    from llama_cpp import mtmd_cpp

    mtmd: Any = mtmd_cpp
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(str(files.weights).encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.flash_attn_type = 1024, 512, 512, 1
    context = lib.llama_init_from_model(model, params)
    options = mtmd.mtmd_context_params_default()
    options.use_gpu = options.print_timings = options.warmup = False
    projector = mtmd.mtmd_init_from_file(str(files.projector).encode(), model, options)
    bitmaps = [
        mtmd.mtmd_bitmap_init(
            one.width, one.height, (ctypes.c_uint8 * len(one.rgb)).from_buffer_copy(one.rgb)
        )
        for one in images
    ]
    chunks = mtmd.mtmd_input_chunks_init()
    data = text.encode()
    prompt = mtmd.mtmd_input_text(data, len(data), add_special=True, parse_special=True)
    array = (ctypes.c_void_p * len(bitmaps))(*bitmaps)
    assert mtmd.mtmd_tokenize(projector, chunks, ctypes.byref(prompt), array, len(bitmaps)) == 0
    past = ctypes.c_int32()
    assert mtmd.mtmd_helper_eval_chunks(projector, context, chunks, 0, 0, 512, True, ctypes.byref(past)) == 0  # noqa: FBT003
    tokens = []
    vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    batch = lib.llama_batch_init(1, 0, 1)
    for step in range(count):
        logits = lib.llama_get_logits_ith(context, -1)
        tokens.append(max(range(vocabulary), key=lambda token: logits[token]))
        batch.n_tokens, batch.token[0], batch.pos[0] = 1, tokens[-1], past.value + step
        batch.n_seq_id[0], batch.seq_id[0][0], batch.logits[0] = 1, 0, 1
        assert lib.llama_decode(context, batch) == 0
    lib.llama_batch_free(batch)
    for bitmap in bitmaps:
        mtmd.mtmd_bitmap_free(bitmap)
    mtmd.mtmd_input_chunks_free(chunks)
    mtmd.mtmd_free(projector)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return tokens
