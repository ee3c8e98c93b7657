"""Pooled embeddings, for models that were made for them."""

from __future__ import annotations

import math
from array import array

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.context import Context
from genesis_stack.engine.interface import InvalidRequestError
from genesis_stack.engine.model import Model

_POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}


class Embedder:
    """Turns token runs into vectors; only the engine's thread calls it."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model = model
        self._context = context
        # Beyond the context it was trained with a model may have no positions, and llama.cpp aborts.
        self._longest = min(context.batch.capacity, lib.llama_model_n_ctx_train(model.pointer))
        self.pooling = _POOLING.get(lib.llama_pooling_type(context.pointer), "none")

    def check(self, tokens: array[int]) -> None:
        """Whether `embed` can work on `tokens`; any thread may ask.

        Raises:
            InvalidRequestError: the model declares no pooling, or the input is empty or too long.
        """
        if self.pooling in ("none", "rank"):
            raise InvalidRequestError("This model declares no pooling for embeddings.", param="model")
        if not 0 < len(tokens) <= self._longest:
            raise InvalidRequestError(
                f"An input has {len(tokens)} tokens; 1 to {self._longest} are possible.",
                param="input",
            )

    def embed(self, tokens: array[int]) -> list[float]:
        """The L2-normalised vector of `n_embd` numbers for one input."""
        batch = self._context.batch
        batch.clear()
        batch.add_run(0, tokens, 0, len(tokens), 0, output=True)
        batch.want_all()
        try:
            self._context.decode()
            pointer = lib.llama_get_embeddings_seq(self._context.pointer, 0)
            vector = pointer[: lib.llama_model_n_embd_out(self._model.pointer)]
        finally:
            self._context.clear()
        norm = math.sqrt(math.fsum(x * x for x in vector)) or 1.0
        return [x / norm for x in vector]
