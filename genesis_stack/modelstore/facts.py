"""What a model file says about itself, and the cache of it that costs no parsing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from genesis_stack import durable
from genesis_stack.modelstore.gguf_header import GgufError, Header, Skipped, read_header

CACHE_VERSION: Final = 1
_MOST: Final = 2**24  # far above every shape in use, far below what makes arithmetic slow
_MOST_LAYERS: Final = 2048
_REPACKED: Final = frozenset({"Q4_0", "Q2_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "Q8_0"})
_LONGEST_TEXT: Final = 120
_MOST_PATCH: Final = 4096
PATCHES_PER_TOKEN: Final = 4
"""Of Qwen's encoders, which merge 2 x 2 patches."""
_QWEN_PATCHES: Final = 4096 * PATCHES_PER_TOKEN  # llama.cpp's limit is 4096 image tokens


@dataclass(frozen=True, slots=True)
class Facts:
    """Shape and origin of a model, as its GGUF header states them.

    Sizes are bytes. `kv_heads` has one entry per layer, 0 where a layer keeps no KV cells.
    `recurrent_bytes` is the state of one sequence in models that keep one (Mamba, RWKV, hybrids of them),
    counted as if every layer did. `repackable_bytes` are tensors of types that llama.cpp may copy into
    another layout when it loads them for a CPU. A projector (`architecture` clip) has its vision tower's
    shape, the side of a `patch` in pixels, and the most `image_patches` that llama.cpp makes of one image.
    One that `scales_images` makes fewer where the stack says so.
    """

    architecture: str
    name: str
    license: str
    quantization: str
    parameters: int
    tensor_bytes: int
    repackable_bytes: int
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: tuple[int, ...]
    head_dim_k: int
    head_dim_v: int
    context_train: int
    vocab: int
    chat_template: bool
    sliding_window: int
    experts: int
    recurrent: bool
    hybrid: bool
    recurrent_bytes: int
    patch: int = 0
    image_patches: int = 0
    scales_images: bool = False


def read_facts(descriptor: int, name: str) -> Facts:
    """Facts of an open file; `name` is what errors call it.

    Raises:
        GgufError: the header is broken, or lacks a number that every model has.
    """
    return facts_of(read_header(descriptor, name), name)


def load_cached(path: Path) -> Facts | None:
    """Facts written by `save`, or None if there are none of this version."""
    try:
        data = json.loads(path.read_text())
        if data.pop("schema_version") != CACHE_VERSION or set(data) != {
            field.name for field in fields(Facts)
        }:
            return None
        return Facts(**{**data, "kv_heads": tuple(data["kv_heads"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save(path: Path, facts: Facts) -> None:
    """Write facts where `load_cached` finds them."""
    durable.write(path, json.dumps({"schema_version": CACHE_VERSION, **asdict(facts)}) + "\n")


def facts_of(header: Header, name: str) -> Facts:
    """Facts of a header that has been read.

    Raises:
        GgufError: a number that every model has is missing, of the wrong type or out of range.
    """
    keys = _Keys(header, name)
    architecture = keys.text("general.architecture")
    if keys.text("general.type", default="") == "adapter":
        return _adapter(header, keys, architecture)
    prefix = "clip.vision" if architecture == "clip" else architecture
    layers = keys.count(f"{prefix}.block_count", most=_MOST_LAYERS)
    heads = keys.largest(f"{prefix}.attention.head_count")
    embedding = keys.count(f"{prefix}.embedding_length")
    head_dim = embedding // heads if heads else 0
    kv_heads = keys.per_layer(f"{prefix}.attention.head_count_kv", layers, default=heads)
    recurrent_bytes = _recurrent_bytes(keys, prefix, layers, embedding)
    recurrent = recurrent_bytes > 0
    expert_ff = keys.count(f"{prefix}.expert_feed_forward_length", default=0)
    return Facts(
        architecture=architecture,
        name=keys.text("general.name", default=""),
        license=keys.text("general.license", default=""),
        quantization=_quantization(header),
        parameters=sum(tensor.elements for tensor in header.tensors),
        tensor_bytes=sum(tensor.size for tensor in header.tensors),
        repackable_bytes=sum(t.size for t in header.tensors if t.type_name in _REPACKED and len(t.shape) > 1),
        layers=layers,
        embedding=embedding,
        feed_forward=max(
            keys.largest(f"{prefix}.feed_forward_length"),
            expert_ff * keys.count(f"{prefix}.expert_used_count", default=0),
        ),
        heads=heads,
        kv_heads=kv_heads,
        head_dim_k=keys.count(f"{prefix}.attention.key_length", default=head_dim),
        head_dim_v=keys.count(f"{prefix}.attention.value_length", default=head_dim),
        context_train=0 if architecture == "clip" else keys.count(f"{prefix}.context_length", most=2**40),
        vocab=_vocab(keys, prefix),
        chat_template="tokenizer.chat_template" in header.metadata,
        sliding_window=keys.count(f"{prefix}.attention.sliding_window", default=0, most=2**40),
        experts=keys.count(f"{prefix}.expert_count", default=0),
        recurrent=recurrent,
        hybrid=recurrent and any(kv_heads),
        recurrent_bytes=recurrent_bytes,
        patch=keys.count(f"{prefix}.patch_size", default=0, most=_MOST_PATCH),
        image_patches=_image_patches(keys, prefix),
        scales_images=_scales_images(keys, prefix),
    )


class _Keys:
    """Typed and bounded access to a header's metadata."""

    def __init__(self, header: Header, name: str) -> None:
        self.metadata = header.metadata
        self.name = name

    def text(self, key: str, default: str | None = None) -> str:
        """A short text without control characters, which could drive the reader's terminal."""
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise self._fail(key, "is missing or no text")
        return "".join(char if char.isprintable() else "?" for char in value[:_LONGEST_TEXT])

    def count(self, key: str, default: int | None = None, most: int = _MOST) -> int:
        value = self.metadata.get(key, default)
        if type(value) is not int or not 0 <= value <= most:
            raise self._fail(key, "is missing, no number or out of range")
        return value

    def largest(self, key: str) -> int:
        """The largest of the per-layer counts, or the one count of all layers, or 0."""
        return max(self.per_layer(key, 1, default=0), default=0)

    def per_layer(self, key: str, layers: int, default: int) -> tuple[int, ...]:
        value = self.metadata.get(key, default)
        values = value if isinstance(value, tuple) else (value,) * layers
        if any(type(item) is not int or not 0 <= item <= _MOST for item in values):
            raise self._fail(key, "is no number or out of range")
        return tuple(int(item) for item in values if isinstance(item, int))

    def length(self, key: str) -> int:
        value = self.metadata.get(key)
        return value.length if isinstance(value, Skipped) else 0

    def _fail(self, key: str, what: str) -> GgufError:
        return GgufError(
            f"{self.name}: no usable model: {ascii(key)[1:-1][:80]} {what}",
            hint="the file is damaged, or no language model or projector",
        )


def _vocab(keys: _Keys, prefix: str) -> int:
    if prefix == "clip.vision":
        return 0
    return keys.length("tokenizer.ggml.tokens") or keys.count(f"{prefix}.vocab_size", default=0)


def _image_patches(keys: _Keys, prefix: str) -> int:
    """Fixed by the image size, but for Qwen's encoders, which take any size up to a number of patches."""
    patch = keys.count(f"{prefix}.patch_size", default=0)
    fixed = (keys.count(f"{prefix}.image_size", default=0) // patch) ** 2 if patch else 0
    return max(fixed, _QWEN_PATCHES) if _scales_images(keys, prefix) else fixed


def _scales_images(keys: _Keys, prefix: str) -> bool:
    """Whether images of any size are taken, up to a number of tokens that can be chosen."""
    kind = keys.text("clip.projector_type", keys.text(f"{prefix}.projector_type", default=""))
    return kind.startswith("qwen")


def _recurrent_bytes(keys: _Keys, prefix: str, layers: int, embedding: int) -> int:
    """Per sequence, 4 bytes an element: the convolution and state rows that llama.cpp keeps."""
    head = keys.count(f"{prefix}.wkv.head_size", default=0)
    if head:
        shift = keys.count(f"{prefix}.token_shift_count", default=2)
        return layers * embedding * (shift + head) * 4
    inner = keys.count(f"{prefix}.ssm.inner_size", default=0)
    state = keys.count(f"{prefix}.ssm.state_size", default=0)
    groups = keys.count(f"{prefix}.ssm.group_count", default=0)
    kernel = keys.count(f"{prefix}.ssm.conv_kernel", default=1)
    return layers * (max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner) * 4


def _adapter(header: Header, keys: _Keys, architecture: str) -> Facts:
    """Facts of a LoRA adapter: it has tensors for a model of this architecture, and no shape of its own."""
    return Facts(
        architecture=architecture,
        name=keys.text("general.name", default=""),
        license=keys.text("general.license", default=""),
        quantization=_quantization(header),
        parameters=sum(tensor.elements for tensor in header.tensors),
        tensor_bytes=sum(tensor.size for tensor in header.tensors),
        repackable_bytes=0,
        layers=0,
        embedding=0,
        feed_forward=0,
        heads=0,
        kv_heads=(),
        head_dim_k=0,
        head_dim_v=0,
        context_train=0,
        vocab=0,
        chat_template=False,
        sliding_window=0,
        experts=0,
        recurrent=False,
        hybrid=False,
        recurrent_bytes=0,
    )


def _quantization(header: Header) -> str:
    """The name of `general.file_type`, such as Q4_K_M; without one, the type that most weights have."""
    from gguf.constants import LlamaFileType

    value = header.metadata.get("general.file_type")
    if type(value) is int and value in {int(kind) for kind in LlamaFileType}:
        return str(LlamaFileType(value).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    weights: Counter[str] = Counter()
    for tensor in header.tensors:
        weights[tensor.type_name] += tensor.elements
    return weights.most_common(1)[0][0] if weights else "none"
