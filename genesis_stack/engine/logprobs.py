"""Log probabilities of a row of logits, computed only for those who ask."""

from __future__ import annotations

from typing import Any

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import ChosenLogprob, Token, TokenLogprob
from genesis_stack.engine.model import Model


def chosen_logprob(model: Model, context: Any, row: int, token: Token, top: int) -> ChosenLogprob:
    """Natural-log softmax of output `row` at `token`, and at its `top` most likely tokens, best first."""
    import numpy as np

    logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, row), shape=(model.n_vocab,)).astype(
        np.float64
    )
    peak = logits.max()
    normaliser = peak + np.log(np.exp(logits - peak).sum())

    def entry(t: Token) -> TokenLogprob:
        piece = model.piece(t)
        return TokenLogprob(t, piece.decode("utf-8", "replace"), piece, float(logits[t] - normaliser))

    best = np.argpartition(-logits, min(top, model.n_vocab - 1))[:top] if top else np.empty(0, dtype=int)
    ordered = best[np.argsort(-logits[best], kind="stable")]
    return ChosenLogprob(entry(token), tuple(entry(int(t)) for t in ordered))
