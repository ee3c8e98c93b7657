"""LoRA adapters of random weights for a Llama of any shape."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gguf
import numpy as np

from engine.synthetic import written

RANK: Final = 4


def write_adapter(path: Path, weights: Path, *, seed: int) -> Path:
    """An adapter of the attention's queries and values that changes what the model says."""
    reader = gguf.GGUFReader(weights)
    writer = gguf.GGUFWriter(path, str(reader.fields["general.architecture"].contents()))
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    random = np.random.default_rng(seed)
    for tensor in reader.tensors:
        if tensor.name.endswith(("attn_q.weight", "attn_v.weight")):
            inner, out = (int(size) for size in tensor.shape)
            down = random.normal(0, inner**-0.5, (RANK, inner)).astype(np.float32)
            writer.add_tensor(f"{tensor.name}.lora_a", down)
            writer.add_tensor(f"{tensor.name}.lora_b", random.normal(0, 0.5, (out, RANK)).astype(np.float32))
    return written(writer, path)
