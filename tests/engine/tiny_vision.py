"""Vision models of random weights in two files of a megabyte each.

A Qwen3-VL with two deepstack layers and M-RoPE, and a Gemma 3, whose images are read without a causal mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import gguf
import numpy as np

from engine.synthetic import written

WIDTH: Final = 64
HEADS: Final = 4
KV_HEADS: Final = 2
HEAD: Final = WIDTH // HEADS
FEED_FORWARD: Final = 128
LAYERS: Final = 4  # more than deepstack layers, or llama.cpp aborts
DEEPSTACK: Final = (1, 2)
PATCH: Final = 16
MERGE: Final = 2
SIDE: Final = 16  # of the grid of learned positions, in patches
CONTROL: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
)


class VisionFiles(NamedTuple):
    """The text model and its projector."""

    weights: Path
    projector: Path


def write_vision_model(directory: Path) -> VisionFiles:
    """The Qwen3-VL, the same every time."""
    return VisionFiles(_write_text(directory / "vision.gguf"), _write_projector(directory / "mmproj.gguf"))


def write_gemma(directory: Path) -> VisionFiles:
    """The Gemma 3, the same every time."""
    return VisionFiles(
        _write_gemma_text(directory / "gemma.gguf"), _write_gemma_projector(directory / "gemma-mmproj.gguf")
    )


class _Weights:
    """Random matrices, and norms that are almost one."""

    def __init__(self, writer: gguf.GGUFWriter, seed: int) -> None:
        self._writer = writer
        self._random = np.random.default_rng(seed)

    def matrix(self, name: str, *shape: int, scale: float = 0.2) -> None:
        self._writer.add_tensor(name, self._random.normal(0, scale, shape).astype(np.float32))

    def norm(self, name: str, width: int, *, bias: bool = False) -> None:
        self._writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
        if bias:
            self.matrix(f"{name}.bias", width, scale=0.02)

    def linear(self, name: str, out: int, inner: int) -> None:
        self.matrix(f"{name}.weight", out, inner)
        self.matrix(f"{name}.bias", out, scale=0.02)


def _write_text(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "qwen3vl")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(5_000_000.0)
    writer.add_rope_dimension_sections([4, 2, 2, 0])
    writer.add_num_deepstack_layers(len(DEEPSTACK))
    _add_vocabulary(writer)
    weights = _Weights(writer, seed=1)
    tokens = 256 + len(CONTROL)
    weights.matrix("token_embd.weight", tokens, WIDTH, scale=1.0)
    weights.matrix("output.weight", tokens, WIDTH, scale=1.0)
    weights.norm("output_norm", WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        weights.norm(f"{block}.attn_norm", WIDTH)
        weights.matrix(f"{block}.attn_q.weight", WIDTH, WIDTH)
        weights.matrix(f"{block}.attn_k.weight", KV_HEADS * HEAD, WIDTH)
        weights.matrix(f"{block}.attn_v.weight", KV_HEADS * HEAD, WIDTH)
        weights.matrix(f"{block}.attn_output.weight", WIDTH, WIDTH)
        weights.norm(f"{block}.attn_q_norm", HEAD)
        weights.norm(f"{block}.attn_k_norm", HEAD)
        weights.norm(f"{block}.ffn_norm", WIDTH)
        weights.matrix(f"{block}.ffn_gate.weight", FEED_FORWARD, WIDTH)
        weights.matrix(f"{block}.ffn_up.weight", FEED_FORWARD, WIDTH)
        weights.matrix(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD)
    return written(writer, path)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {b: chr(256 + n) for n, b in enumerate(others)}
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*(letters[byte] for byte in range(256)), *CONTROL])
    writer.add_token_types([*([normal] * 256), *([control] * len(CONTROL))])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(256 + CONTROL.index("<|im_end|>"))
    writer.add_bos_token_id(256)
    writer.add_add_bos_token(value=False)


def _write_projector(path: Path) -> Path:
    writer = _vision_writer(path, "qwen3vl_merger")
    writer.add_vision_spatial_merge_size(MERGE)
    writer.add_vision_is_deepstack_layers([layer in DEEPSTACK for layer in range(LAYERS)])
    weights = _Weights(writer, seed=2)
    merged = WIDTH * MERGE**2
    for name in ("v.patch_embd.weight", "v.patch_embd.weight.1"):
        weights.matrix(name, WIDTH, 3, PATCH, PATCH)
    weights.matrix("v.patch_embd.bias", WIDTH, scale=0.02)
    weights.matrix("v.position_embd.weight", SIDE**2, WIDTH)
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        weights.norm(f"{block}.ln1", WIDTH, bias=True)
        weights.linear(f"{block}.attn_qkv", 3 * WIDTH, WIDTH)
        weights.linear(f"{block}.attn_out", WIDTH, WIDTH)
        weights.norm(f"{block}.ln2", WIDTH, bias=True)
        weights.linear(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
        weights.linear(f"{block}.ffn_down", WIDTH, FEED_FORWARD)
    for layer in DEEPSTACK:
        weights.norm(f"v.deepstack.{layer}.norm", merged, bias=True)
        weights.linear(f"v.deepstack.{layer}.fc1", merged, merged)
        weights.linear(f"v.deepstack.{layer}.fc2", WIDTH, merged)
    weights.norm("v.post_ln", WIDTH, bias=True)
    weights.linear("mm.0", merged, merged)
    weights.linear("mm.2", WIDTH, merged)
    return written(writer, path)


def _write_gemma_text(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    _add_vocabulary(writer)
    weights = _Weights(writer, seed=3)
    weights.matrix("token_embd.weight", 256 + len(CONTROL), WIDTH, scale=WIDTH**-0.5)
    weights.matrix("output.weight", 256 + len(CONTROL), WIDTH, scale=1.0)
    weights.norm("output_norm", WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            weights.norm(f"{block}.{name}", WIDTH)
        weights.matrix(f"{block}.attn_q.weight", WIDTH, WIDTH)
        weights.matrix(f"{block}.attn_k.weight", KV_HEADS * HEAD, WIDTH)
        weights.matrix(f"{block}.attn_v.weight", KV_HEADS * HEAD, WIDTH)
        weights.matrix(f"{block}.attn_output.weight", WIDTH, WIDTH)
        weights.norm(f"{block}.attn_q_norm", HEAD)
        weights.norm(f"{block}.attn_k_norm", HEAD)
        weights.matrix(f"{block}.ffn_gate.weight", FEED_FORWARD, WIDTH)
        weights.matrix(f"{block}.ffn_up.weight", FEED_FORWARD, WIDTH)
        weights.matrix(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD)
    return written(writer, path)


def _write_gemma_projector(path: Path) -> Path:
    writer = _vision_writer(path, "gemma3")
    writer.add_vision_projector_scale_factor(MERGE)
    weights = _Weights(writer, seed=4)
    weights.matrix("v.patch_embd.weight", WIDTH, 3, PATCH, PATCH)
    weights.matrix("v.patch_embd.bias", WIDTH, scale=0.02)
    weights.matrix("v.position_embd.weight", SIDE**2, WIDTH)
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        weights.norm(f"{block}.ln1", WIDTH, bias=True)
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            weights.linear(f"{block}.{name}", WIDTH, WIDTH)
        weights.norm(f"{block}.ln2", WIDTH, bias=True)
        weights.linear(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
        weights.linear(f"{block}.ffn_down", WIDTH, FEED_FORWARD)
    weights.norm("v.post_ln", WIDTH, bias=True)
    weights.matrix("mm.input_projection.weight", WIDTH, WIDTH)
    writer.add_tensor("mm.soft_emb_norm.weight", np.full(WIDTH, WIDTH**0.5, np.float32))  # as loud as text
    return written(writer, path)


def _vision_writer(path: Path, projector: str) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_vision_encoder(value=True)
    writer.add_clip_projector_type(projector)
    writer.add_bool("clip.use_gelu", val=True)
    writer.add_vision_projection_dim(WIDTH)
    writer.add_vision_image_size(PATCH * SIDE)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(WIDTH)
    writer.add_vision_feed_forward_length(FEED_FORWARD)
    writer.add_vision_block_count(LAYERS)
    writer.add_vision_head_count(HEADS)
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    return writer
