from __future__ import annotations

from dataclasses import replace

import pytest

from genesis_stack.modelstore.facts import Facts
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.modelstore.memory import Shape, cells, compute, images, kv_cache, rows, total
from genesis_stack.spec.model import EngineSettings, Model, Weights

MIB = 1024 * 1024
BY_NAME = {facts.name: facts for facts in KNOWN.values()}
SMOLLM2 = BY_NAME["Smollm2 135M 8k Lc100K Mix1 Ep2"]
LLAMA = BY_NAME["Meta Llama 3.1 8B Instruct"]
QWEN = BY_NAME["Qwen3 VL 4B Instruct"]
PROJECTOR = BY_NAME["Qwen3 VL 4B Instruct projector"]

LOGGED = [
    # facts, context, parallel, batch, kv_cache, flash_attention, then KV and compute buffers in MiB, as
    # llama-cpp-python 0.3.36 logs them for its CPU backend; 8B and 4B shapes have 4 synthetic layers
    (SMOLLM2, 2048, 4, 512, "f16", True, 180.00, 98.25),
    (SMOLLM2, 8192, 4, 512, "f16", True, 720.00, 98.25),
    (SMOLLM2, 2048, 4, 128, "f16", True, 180.00, 24.56),
    (SMOLLM2, 2048, 4, 512, "q8_0", True, 95.62, 99.38),
    (SMOLLM2, 2048, 4, 512, "f16", False, 180.00, 166.38),
    (SMOLLM2, 2048, 4, 2048, "f16", True, 180.00, 393.01),
    (SMOLLM2, 32768, 4, 512, "f16", True, 2880.00, 141.51),
    (SMOLLM2, 32768, 4, 512, "q8_0", True, 1530.00, 140.42),
    (replace(LLAMA, kv_heads=(8,) * 4), 8192, 4, 512, "f16", True, 512.00, 266.50),
    (replace(LLAMA, kv_heads=(8,) * 4), 8192, 4, 512, "q8_0", True, 272.00, 274.50),
    (replace(LLAMA, kv_heads=(8,) * 4), 2048, 1, 512, "f16", True, 32.00, 266.50),
    (replace(QWEN, kv_heads=(8,) * 4), 8192, 4, 512, "f16", True, 512.00, 306.75),
    (replace(QWEN, kv_heads=(8,) * 4), 65536, 4, 512, "q8_0", True, 2176.00, 336.09),
    (replace(QWEN, kv_heads=(8,) * 4), 65536, 4, 128, "f16", True, 4096.00, 84.00),
    (replace(QWEN, kv_heads=(8,) * 4), 32768, 1, 512, "f16", False, 512.00, 2147.01),
]


@pytest.mark.parametrize("case", LOGGED)
def test_the_sum_agrees_with_what_llama_cpp_logs(
    case: tuple[Facts, int, int, int, str, bool, float, float],
) -> None:
    """KV cache to the last 0.01 MiB; compute buffers never less, and at most an eighth more."""
    facts, context, parallel, batch, kind, flash, kv, buffer = case
    engine = EngineSettings.model_validate(
        {
            "context": context,
            "parallel": parallel,
            "batch": batch,
            "kv_cache": kind,
            "flash_attention": flash,
        }
    )
    assert kv_cache(facts, engine) / MIB == pytest.approx(kv, abs=0.01)
    assert 0.999 * buffer <= compute(facts, engine, batch) / MIB <= 1.125 * buffer


@pytest.mark.parametrize(
    ("embedding", "feed_forward", "buffer"),
    [(1024, 4096, 289.43), (1024, 1024, 256.36), (64, 128, 39.39)],
)
def test_image_buffers_agree_with_what_llama_cpp_logs(
    embedding: int, feed_forward: int, buffer: float
) -> None:
    """For the 1472 x 1472 image that its encoder warms up with; embeddings are counted beside it."""
    projector = replace(PROJECTOR, embedding=embedding, feed_forward=feed_forward)
    no_text = replace(QWEN, embedding=0)
    tokens = (1472 // 32) ** 2  # each of 2 x 2 patches of 16 pixels
    assert images(projector, no_text, tokens) / MIB == pytest.approx(buffer, rel=0.01)


def test_cells_are_rounded_up_as_llama_cpp_does() -> None:
    """The unified cache is a multiple of 256 cells."""
    assert cells(EngineSettings(context=100, parallel=3)) == 512


def model(**fields: object) -> Model:
    """A model with the reference text weights."""
    digest = next(digest for digest, facts in KNOWN.items() if facts is LLAMA)
    return Model.model_validate(
        {
            "port": 8000,
            "weights": {"source": "hf://o/r/f.gguf", "sha256": digest},
            "budget": {"memory": "8GiB", "cpus": 4},
            **fields,
        }
    )


SHAPES = {digest: Shape(facts, estimated=True) for digest, facts in KNOWN.items()}


def test_mlock_counts_the_copy_that_llama_cpp_makes() -> None:
    """Locked pages of the file cannot be given back after repacking."""
    plain, locked = model(), model(engine={"mlock": True})
    assert total(locked, SHAPES) - total(plain, SHAPES) == LLAMA.repackable_bytes


def test_every_file_of_a_model_counts() -> None:
    """Projector, draft and adapters take memory as well; unknown ones with their declared size."""
    unknown = {"source": "hf://o/r/x.gguf", "sha256": "f" * 64, "size": "1GiB"}
    names = [row.what for row in rows(model(draft=unknown, adapters={"style": unknown}), SHAPES)]
    assert {"weights", "draft weights", "adapter style"} <= set(names)
    assert total(model(adapters={"style": unknown}), SHAPES) - total(model(), SHAPES) == 1024 * MIB


def test_an_unknown_model_counts_with_its_declared_size_alone() -> None:
    """Nothing is invented about a shape that nobody has seen."""
    declared = Weights(source="hf://o/r/f.gguf", sha256="e" * 64, size=5000)
    unknown = model().model_copy(update={"weights": declared})
    assert [(row.what, row.size) for row in rows(unknown, {})] == [("weights", 5000)]


def test_recurrent_state_grows_with_the_sequences_and_not_with_the_context() -> None:
    """A state-space model has no KV cells to speak of."""
    mamba = Shape(replace(LLAMA, kv_heads=(0,) * 32, recurrent_bytes=MIB, recurrent=True), estimated=False)
    shapes = {model().weights.sha256: mamba}
    one = total(model(engine={"parallel": 1, "context": 4096}), shapes)
    assert total(model(engine={"parallel": 1, "context": 8192}), shapes) == one
    assert total(model(engine={"parallel": 2, "context": 2048}), shapes) > one
