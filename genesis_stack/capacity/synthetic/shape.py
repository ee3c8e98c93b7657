"""The shapes: every number that decides how much there is to compute, and the types of Q4_K_M."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class TensorType(Enum):
    """How a tensor is stored: weights a block, bytes a block; see ggml's block_q4_K and block_q6_K."""

    F32 = (1, 4)  # norms and tables
    Q4_K = (256, 144)  # most weights
    Q6_K = (256, 210)  # the weights that Q4_K_M keeps finer

    @property
    def block_weights(self) -> int:
        """Weights in one block."""
        return self.value[0]

    @property
    def block_bytes(self) -> int:
        """Bytes of one block."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: rows of `columns` weights each; 0 rows make a vector."""

    name: str
    rows: int
    columns: int
    type: TensorType

    @property
    def nbytes(self) -> int:
        """Size in the file, without padding."""
        return max(1, self.rows) * self.columns // self.type.block_weights * self.type.block_bytes


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Control tokens: `names` take the ids from `first` on, the rest of the vocabulary is reserved."""

    first: int
    names: tuple[str, ...]
    bos: str
    eos: str
    add_bos: bool


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """Llama 3.1's stretch of the rotary frequencies, stored in the file as a table of factors."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only transformer of llama.cpp's `architecture`, quantised as Q4_K_M.

    `tied` models have no output matrix of their own. `query_key_norm` adds two norms a layer.
    """

    name: str
    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    rope_base: float
    norm_epsilon: float
    special: SpecialTokens
    chat_template: str
    rope_scaling: RopeScaling | None = None
    rope_sections: tuple[int, ...] = ()
    deepstack_layers: int = 0
    tied: bool = False
    query_key_norm: bool = False

    @property
    def title(self) -> str:
        """What the file says that it is."""
        return f"{self.name} with random weights"

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all weights: the file has some megabytes more, for the vocabulary."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def tensors(self) -> Iterator[Tensor]:
        """All tensors in the order of the file."""
        embedded = TensorType.Q6_K if self.tied else TensorType.Q4_K
        yield Tensor("token_embd.weight", self.vocabulary, self.embedding, embedded)
        if self.rope_scaling is not None:
            yield Tensor("rope_freqs.weight", 0, self.head_size // 2, TensorType.F32)
        for layer in range(self.layers):
            yield from self._layer(layer)
        yield Tensor("output_norm.weight", 0, self.embedding, TensorType.F32)
        if not self.tied:
            yield Tensor("output.weight", self.vocabulary, self.embedding, TensorType.Q6_K)

    def _layer(self, layer: int) -> Iterator[Tensor]:
        finer = TensorType.Q6_K if self._keeps_finer(layer) else TensorType.Q4_K
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        matrices = (
            ("attn_q", queries, self.embedding, TensorType.Q4_K),
            ("attn_k", keys, self.embedding, TensorType.Q4_K),
            ("attn_v", keys, self.embedding, finer),
            ("attn_output", self.embedding, queries, TensorType.Q4_K),
            ("ffn_gate", self.feed_forward, self.embedding, TensorType.Q4_K),
            ("ffn_up", self.feed_forward, self.embedding, TensorType.Q4_K),
            ("ffn_down", self.embedding, self.feed_forward, finer),
        )
        norms = {"attn_norm": self.embedding, "ffn_norm": self.embedding}
        if self.query_key_norm:
            norms |= {"attn_q_norm": self.head_size, "attn_k_norm": self.head_size}
        for name, columns in norms.items():
            yield Tensor(f"blk.{layer}.{name}.weight", 0, columns, TensorType.F32)
        for name, rows, columns, kind in matrices:
            yield Tensor(f"blk.{layer}.{name}.weight", rows, columns, kind)

    def _keeps_finer(self, layer: int) -> bool:
        """Q4_K_M's rule: the first and last eighth of the layers and every third between them."""
        eighth = self.layers // 8
        between = (layer - eighth) % 3 == 2  # noqa: PLR2004 -- the last of each three
        return layer < eighth or layer >= 7 * self.layers // 8 or between

    def rope_factors(self) -> list[float]:
        """What divides each rotary frequency, as the Llama 3.1 release defines it; empty without scaling."""
        scaling = self.rope_scaling
        if scaling is None:
            return []
        return [
            _rope_factor(scaling, 2 * math.pi * self.rope_base ** (2 * index / self.head_size))
            for index in range(self.head_size // 2)
        ]


def _rope_factor(scaling: RopeScaling, wavelength: float) -> float:
    turns = scaling.original_context / wavelength
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    if turns > high:
        return 1.0
    if turns < low:
        return scaling.factor
    smooth = (turns - low) / (high - low)
    return 1.0 / ((1.0 - smooth) / scaling.factor + smooth)


_LLAMA_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)

_QWEN_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_LLAMA_3_1_8B: Final = Shape(
    name="llama-3.1-8b",
    architecture="llama",
    layers=32,
    embedding=4096,
    feed_forward=14336,
    heads=32,
    kv_heads=8,
    head_size=128,
    vocabulary=128256,
    context=131072,
    rope_base=500000.0,
    norm_epsilon=1e-5,
    special=SpecialTokens(
        first=128000,
        names=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|reserved_special_token_0|>",
            "<|reserved_special_token_1|>",
            "<|finetune_right_pad_id|>",
            "<|reserved_special_token_2|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eom_id|>",
            "<|eot_id|>",
            "<|python_tag|>",
        ),
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        add_bos=True,
    ),
    chat_template=_LLAMA_TEMPLATE,
    rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192),
)

_QWEN3_VL_4B: Final = Shape(
    name="qwen3-vl-4b",
    architecture="qwen3vl",
    layers=36,
    embedding=2560,
    feed_forward=9728,
    heads=32,
    kv_heads=8,
    head_size=128,
    vocabulary=151936,
    context=262144,
    rope_base=5000000.0,
    norm_epsilon=1e-6,
    special=SpecialTokens(
        first=151643,
        names=(
            "<|endoftext|>",
            "<|im_start|>",
            "<|im_end|>",
            "<|object_ref_start|>",
            "<|object_ref_end|>",
            "<|box_start|>",
            "<|box_end|>",
            "<|quad_start|>",
            "<|quad_end|>",
            "<|vision_start|>",
            "<|vision_end|>",
            "<|vision_pad|>",
            "<|image_pad|>",
            "<|video_pad|>",
        ),
        bos="<|endoftext|>",
        eos="<|im_end|>",
        add_bos=False,
    ),
    chat_template=_QWEN_TEMPLATE,
    rope_sections=(24, 20, 20, 0),
    deepstack_layers=3,
    tied=True,
    query_key_norm=True,
)

SHAPES: Final = {shape.name: shape for shape in (_LLAMA_3_1_8B, _QWEN3_VL_4B)}
"""Every shape by its name; of qwen3-vl-4b it is the language part."""
