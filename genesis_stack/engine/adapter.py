"""A LoRA adapter (Hu et al., 2021, arXiv:2106.09685) loaded beside its model."""

from __future__ import annotations

from typing import Any

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import EngineError
from genesis_stack.engine.model import Model


class Adapter:
    """One adapter file in memory; it is freed with the model.

    Args:
        path: the GGUF file.
        model: what it was trained for.
        scale: its strength; 1 is as trained.

    Raises:
        EngineError: llama.cpp cannot load it, or it was made for another model.
    """

    def __init__(self, path: str, model: Model, *, scale: float) -> None:
        self.pointer: Any = lib.llama_adapter_lora_init(model.pointer, path.encode())
        if not self.pointer:
            raise EngineError(f"llama.cpp cannot load the adapter {path} for {model.description}")
        self.scale = scale
