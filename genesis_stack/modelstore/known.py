"""Shapes of well-known files by digest, so that the memory sum can be shown before a download.

Taken from the published model cards and headers; used only until the file itself is in the store, and always
shown as an estimate.
"""

from __future__ import annotations

from typing import Final

from genesis_stack.modelstore.facts import Facts

_LLAMA_3_1_8B: Final = Facts(
    architecture="llama",
    name="Meta Llama 3.1 8B Instruct",
    license="llama3.1",
    quantization="Q4_K_M",
    parameters=8_030_261_312,
    tensor_bytes=4_912_900_000,
    repackable_bytes=4_912_300_000,
    layers=32,
    embedding=4096,
    feed_forward=14336,
    heads=32,
    kv_heads=(8,) * 32,
    head_dim_k=128,
    head_dim_v=128,
    context_train=131_072,
    vocab=128_256,
    chat_template=True,
    sliding_window=0,
    experts=0,
    recurrent=False,
    hybrid=False,
    recurrent_bytes=0,
)

_QWEN3_VL_4B: Final = Facts(
    architecture="qwen3vl",
    name="Qwen3 VL 4B Instruct",
    license="apache-2.0",
    quantization="Q4_K_M",
    parameters=4_022_468_096,
    tensor_bytes=2_491_000_000,
    repackable_bytes=2_490_000_000,
    layers=36,
    embedding=2560,
    feed_forward=9728,
    heads=32,
    kv_heads=(8,) * 36,
    head_dim_k=128,
    head_dim_v=128,
    context_train=262_144,
    vocab=151_936,
    chat_template=True,
    sliding_window=0,
    experts=0,
    recurrent=False,
    hybrid=False,
    recurrent_bytes=0,
)

_QWEN3_VL_4B_PROJECTOR: Final = Facts(
    architecture="clip",
    name="Qwen3 VL 4B Instruct projector",
    license="apache-2.0",
    quantization="F16",
    parameters=415_000_000,
    tensor_bytes=836_000_000,
    repackable_bytes=0,
    layers=24,
    embedding=1024,
    feed_forward=4096,
    heads=16,
    kv_heads=(16,) * 24,
    head_dim_k=64,
    head_dim_v=64,
    context_train=0,
    vocab=0,
    chat_template=False,
    sliding_window=0,
    experts=0,
    recurrent=False,
    hybrid=False,
    recurrent_bytes=0,
    patch=16,
    image_patches=16_384,
    scales_images=True,
)

_SMOLLM2_135M: Final = Facts(
    architecture="llama",
    name="Smollm2 135M 8k Lc100K Mix1 Ep2",
    license="apache-2.0",
    quantization="Q4_1",
    parameters=134_515_008,
    tensor_bytes=96_576_768,
    repackable_bytes=30_081_024,
    layers=30,
    embedding=576,
    feed_forward=1536,
    heads=9,
    kv_heads=(3,) * 30,
    head_dim_k=64,
    head_dim_v=64,
    context_train=8192,
    vocab=49_152,
    chat_template=True,
    sliding_window=0,
    experts=0,
    recurrent=False,
    hybrid=False,
    recurrent_bytes=0,
)

KNOWN: Final[dict[str, Facts]] = {
    "c2f17f44af962660d1ad4cb1af91a731f219f3b326c2b14441f9df1f347f2815": _LLAMA_3_1_8B,
    "d4dcd426bfba75752a312b266b80fec8136fbaca13c62d93b7ac41fa67f0492b": _QWEN3_VL_4B,
    "1b9f4e92f0fbda14d7d7b58baed86039b8a980fe503d9d6a9393f25c0028f1fc": _QWEN3_VL_4B_PROJECTOR,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53": _SMOLLM2_135M,
}
