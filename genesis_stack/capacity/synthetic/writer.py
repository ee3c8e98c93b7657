"""Writes a shape as a GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from genesis_stack.capacity.synthetic.blocks import BlockPool
from genesis_stack.capacity.synthetic.shape import Shape, Tensor, TensorType
from genesis_stack.capacity.synthetic.vocabulary import build_vocabulary


def write_model(
    shape: Shape, path: Path, *, seed: int = 0, advance: Callable[[int], None] | None = None
) -> int:
    """Write a model of this shape; the same seed gives the same file. Returns its size in bytes.

    The file appears under its name only when it is complete. `advance` is told how many bytes of weights
    there are by now. Raises OSError when there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        _write(shape, partial, seed, advance or (lambda _bytes: None))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path.stat().st_size


def _write(shape: Shape, partial: Path, seed: int, advance: Callable[[int], None]) -> None:
    writer = gguf.GGUFWriter(partial, shape.architecture)
    _add_hyperparameters(writer, shape)
    _add_tokenizer(writer, shape)
    for tensor in shape.tensors():
        _add_info(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    pool, written = BlockPool(seed), 0
    for tensor in shape.tensors():
        writer.write_tensor_data(_data(shape, tensor, pool))
        written += tensor.nbytes
        advance(written)
    writer.close()


def _add_hyperparameters(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(shape.title)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_vocab_size(shape.vocabulary)
    if shape.rope_sections:
        writer.add_rope_dimension_sections(list(shape.rope_sections))
    if shape.deepstack_layers:
        writer.add_num_deepstack_layers(shape.deepstack_layers)


def _add_tokenizer(writer: gguf.GGUFWriter, shape: Shape) -> None:
    vocabulary = build_vocabulary(shape)
    controls = len(vocabulary.tokens) - vocabulary.first_control
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(
        [gguf.TokenType.NORMAL] * vocabulary.first_control + [gguf.TokenType.CONTROL] * controls
    )
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_bos_token_id(vocabulary.id_of(shape.special.bos))
    writer.add_eos_token_id(vocabulary.id_of(shape.special.eos))
    writer.add_add_bos_token(shape.special.add_bos)
    writer.add_chat_template(shape.chat_template)


def _add_info(writer: gguf.GGUFWriter, tensor: Tensor) -> None:
    if tensor.type is TensorType.F32:
        writer.add_tensor_info(tensor.name, [tensor.columns], np.dtype(np.float32), tensor.nbytes)
    else:
        kind = gguf.GGMLQuantizationType[tensor.type.name]
        dimensions = [tensor.rows, tensor.columns]
        writer.add_tensor_info(tensor.name, dimensions, np.dtype(np.float32), tensor.nbytes, raw_dtype=kind)


def _data(shape: Shape, tensor: Tensor, pool: BlockPool) -> np.ndarray:
    if tensor.name == "rope_freqs.weight":
        return np.array(shape.rope_factors(), dtype=np.float32)
    if tensor.type is TensorType.F32:
        return np.ones(tensor.columns, dtype=np.float32)
    return pool.draw(tensor.type, tensor.nbytes)
