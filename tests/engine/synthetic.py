"""Tiny GGUF files with random weights: an embedding model in a few hundred kilobytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gguf
import numpy as np

WIDTH: Final = 64
HEADS: Final = 4
FEED_FORWARD: Final = 128
LAYERS: Final = 2
CONTEXT: Final = 128
TOKENS: Final = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]


def write_encoder(path: Path, pooling: gguf.PoolingType) -> Path:
    """A BERT: every token sees every other one, and there is no KV cache."""
    writer = _begun(path, "bert", pooling)
    writer.add_layer_norm_eps(1e-5)
    writer.add_causal_attention(value=False)
    weights = np.random.default_rng(1)

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{name}.weight", _matrix(weights, rows, columns))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, np.float32))

    writer.add_token_type_count(1)
    matrix("token_embd", len(TOKENS), WIDTH)
    matrix("token_types", 1, WIDTH)
    matrix("position_embd", CONTEXT, WIDTH)
    norm("token_embd_norm")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{name}", WIDTH, WIDTH)
        norm(f"blk.{layer}.attn_output_norm")
        matrix(f"blk.{layer}.ffn_up", FEED_FORWARD, WIDTH)
        matrix(f"blk.{layer}.ffn_down", WIDTH, FEED_FORWARD)
        norm(f"blk.{layer}.layer_output_norm")
    if pooling is gguf.PoolingType.RANK:
        matrix("cls", WIDTH, WIDTH)
        writer.add_tensor("cls.bias", np.zeros(WIDTH, np.float32))
        writer.add_tensor("cls.output.weight", weights.normal(0, 0.5, (1, WIDTH)).astype(np.float32))
        writer.add_tensor("cls.output.bias", np.zeros(1, np.float32))
    return written(writer, path)


def write_decoder(
    path: Path, pooling: gguf.PoolingType | None, *, user_defined: tuple[str, ...] = ()
) -> Path:
    """A Llama; `pooling` None makes it one that was not made for embeddings."""
    writer = _begun(path, "llama", pooling, user_defined)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    weights = np.random.default_rng(2)

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{name}.weight", _matrix(weights, rows, columns))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", len(TOKENS) + len(user_defined), WIDTH)
    norm("output_norm")
    for layer in range(LAYERS):
        norm(f"blk.{layer}.attn_norm")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{name}", WIDTH, WIDTH)
        norm(f"blk.{layer}.ffn_norm")
        matrix(f"blk.{layer}.ffn_gate", FEED_FORWARD, WIDTH)
        matrix(f"blk.{layer}.ffn_up", FEED_FORWARD, WIDTH)
        matrix(f"blk.{layer}.ffn_down", WIDTH, FEED_FORWARD)
    return written(writer, path)


def _begun(
    path: Path, architecture: str, pooling: gguf.PoolingType | None, user_defined: tuple[str, ...] = ()
) -> gguf.GGUFWriter:
    tokens = [*TOKENS, *user_defined]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_vocab_size(len(tokens))
    if pooling is not None:
        writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.USER_DEFINED] * len(user_defined)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return writer


def _matrix(weights: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return weights.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)


def written(writer: gguf.GGUFWriter, path: Path) -> Path:
    """Write what the writer was given, and return where."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
