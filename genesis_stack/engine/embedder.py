"""Pooled embeddings and rankings, for models that were made for them."""

from __future__ import annotations

import math
from array import array
from typing import Final

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.context import Context
from genesis_stack.engine.interface import InvalidRequestError
from genesis_stack.engine.model import Model

_STEEP: Final = 700.0  # beyond, exp() overflows
_POOLING: Final = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}


class Embedder:
    """Turns token runs into vectors or scores; only the engine's thread calls it."""

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
        if self.pooling == "none":
            raise InvalidRequestError("This model declares no pooling.", param="model")
        if not 0 < len(tokens) <= self._longest:
            raise InvalidRequestError(
                f"An input has {len(tokens)} tokens; 1 to {self._longest} are possible.",
                param="input",
            )

    def embed(self, tokens: array[int]) -> list[float]:
        """The L2-normalised vector of `n_embd` numbers for one input."""
        vector = self._pooled(tokens, lib.llama_model_n_embd_out(self._model.pointer))
        norm = math.sqrt(math.fsum(x * x for x in vector)) or 1.0
        return [x / norm for x in vector]

    def score(self, tokens: array[int]) -> float:
        """The first output of a ranking model's head for a query with a document, through a logistic."""
        (logit,) = self._pooled(tokens, 1)
        return 1 / (1 + math.exp(-logit)) if logit > -_STEEP else 0.0

    def _pooled(self, tokens: array[int], width: int) -> list[float]:
        batch = self._context.batch
        batch.clear()
        batch.add_run(0, tokens, 0, len(tokens), 0, output=True)
        batch.want_all()
        try:
            self._context.decode()
            pointer = lib.llama_get_embeddings_seq(self._context.pointer, 0)
            vector: list[float] = pointer[:width]
        finally:
            self._context.clear()
        return vector
