"""How much memory one served model takes, by arithmetic over its facts.

The terms follow llama.cpp's own log for the CPU backend with one unified KV cache; the formulas of compute
buffers were fitted to it on several shapes, batches and cache sizes, and never fall below it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from genesis_stack.modelstore.facts import PATCHES_PER_TOKEN, Facts
from genesis_stack.protocol.kv_cells import kv_cells
from genesis_stack.spec.model import EngineSettings, Model, Weights

PROCESS: Final = 128 * 1024 * 1024
"""Bytes of Python, the HTTP server and llama.cpp beside the model: about 80 MiB were measured at rest."""
PER_TOKEN_OF_VOCABULARY: Final = 512
"""Bytes of the tokenizer's tables: 280 were measured."""
_F32: Final = 4
_CACHE_BYTES: Final = {"f16": 2.0, "q8_0": 34 / 32}  # q8_0: blocks of 32 bytes and an f16 scale


@dataclass(frozen=True, slots=True)
class Shape:
    """Facts of a file, or what is known of them before it is here."""

    facts: Facts
    estimated: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One term of the sum, in bytes."""

    what: str
    size: int
    estimated: bool
    note: str = ""


def rows(model: Model, shapes: Mapping[str, Shape]) -> tuple[Row, ...]:
    """The terms of a model's sum; files without facts count with their declared size, or not at all."""
    found = list(_files(model, shapes))
    shape = shapes.get(model.weights.sha256)
    if shape is not None:
        found += _working(model, shape, shapes)
        found.append(Row("process", PROCESS + PER_TOKEN_OF_VOCABULARY * shape.facts.vocab, estimated=True))
    return tuple(row for row in found if row.size)


def total(model: Model, shapes: Mapping[str, Shape]) -> int:
    """The sum of a model's rows."""
    return sum(row.size for row in rows(model, shapes))


def cells(engine: EngineSettings) -> int:
    """KV cells: as many as the engine will allocate."""
    return kv_cells(engine.context, engine.parallel)


def _files(model: Model, shapes: Mapping[str, Shape]) -> Iterator[Row]:
    yield _file("weights", model.weights, shapes)
    if model.projector is not None:
        yield _file("projector", model.projector, shapes)
    if model.draft is not None:
        yield _file("draft weights", model.draft, shapes)
    for name, adapter in model.adapters.items():
        yield _file(f"adapter {name}", adapter, shapes)


def _file(what: str, weights: Weights, shapes: Mapping[str, Shape]) -> Row:
    shape = shapes.get(weights.sha256)
    if shape is None:
        return Row(what, weights.size or 0, estimated=True, note="by its declared size")
    return Row(what, shape.facts.tensor_bytes, shape.estimated, shape.facts.quantization)


def _working(model: Model, shape: Shape, shapes: Mapping[str, Shape]) -> Iterator[Row]:
    """What a model needs beside its files."""
    engine, facts = model.engine, shape.facts
    if engine.mlock:
        note = "llama.cpp's own layout; mlock keeps the file's pages as well"
        yield Row("repacked weights", facts.repackable_bytes, estimated=True, note=note)
    note = f"{cells(engine)} cells: context {engine.context} x parallel {engine.parallel}, {engine.kv_cache}"
    yield Row("KV cache", kv_cache(facts, engine), shape.estimated, note)
    yield Row("recurrent state", facts.recurrent_bytes * engine.parallel, estimated=True)
    batch = engine.context if model.task in {"embedding", "rerank"} else engine.batch
    buffers = compute(facts, engine, batch) + engine.parallel * facts.vocab * _F32
    yield Row("compute buffers", buffers, estimated=True, note=f"batch {batch}")
    yield Row("prefix cache", engine.prefix_cache_ram, estimated=False)
    projector = shapes.get(model.projector.sha256) if model.projector is not None else None
    if projector is not None:
        yield Row("image buffers", images(projector.facts, facts, engine.image_tokens), estimated=True)
        yield Row("encoded images", engine.image_memory, estimated=False)
    draft = shapes.get(model.draft.sha256) if model.draft is not None else None
    if draft is not None:
        size = kv_cache(draft.facts, engine) + compute(draft.facts, engine, engine.batch)
        yield Row("draft KV cache and buffers", size, estimated=True)


def kv_cache(facts: Facts, engine: EngineSettings) -> int:
    """Bytes of keys and values of all cells; layers with a sliding window keep all cells as well."""
    elements = sum(facts.kv_heads) * (facts.head_dim_k + facts.head_dim_v)
    return round(cells(engine) * elements * _CACHE_BYTES[engine.kv_cache])


def compute(facts: Facts, engine: EngineSettings, batch: int) -> int:
    """Bytes of llama.cpp's compute buffer: the larger of its stages, which share it.

    The last stage holds the logits of a whole batch. Attention holds a mask of batch x cells and, without
    flash attention, the scores of every head.
    """
    width = max(facts.embedding, facts.heads * facts.head_dim_k)
    mask = 2 if engine.flash_attention else _F32 * (1 + facts.heads)
    attention = batch * (cells(engine) * mask + 12 * width * _F32)
    feed_forward = batch * (2 * facts.feed_forward + 3 * facts.embedding) * _F32
    logits = batch * (facts.vocab + 3 * facts.embedding) * _F32
    return max(attention, feed_forward, logits)


def images(projector: Facts, facts: Facts, most_tokens: int) -> int:
    """Bytes of encoding the largest image: patches in, activations, embeddings out."""
    if not projector.patch:
        return 0
    patches = projector.image_patches
    if projector.scales_images:
        patches = min(patches, most_tokens * PATCHES_PER_TOKEN)
    pixels = 3 * projector.patch**2
    activations = max(7 * projector.embedding, 4 * projector.embedding + projector.feed_forward)
    embeddings = facts.embedding  # a quarter as many tokens as patches, with up to three more layers each
    return patches * (pixels + activations + embeddings) * _F32
