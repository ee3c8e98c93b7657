"""The choice of the next token, in C: llama.cpp's sampler chain, one per sequence."""

from __future__ import annotations

import ctypes
import secrets
import time
from typing import Any, Final

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.grammar import Grammar
from genesis_stack.engine.interface import SEEDS, SamplingParams, Token
from genesis_stack.engine.model import Model

_GRAMMAR_SECONDS: Final = 0.5
"""Processor time that a grammar may take of one step; beyond it is ambiguous, and grows with each token."""
_GREEDY_BELOW: Final = 1e-6
"""Temperatures that no token's chance survives; further down logits over temperature are no numbers."""


class Sampler:
    """One sequence's sampler chain and, if its output is constrained, its grammar.

    A grammar is costly on a whole vocabulary, so the chain chooses first and the grammar only checks the
    choice; where it refuses, the grammar masks the vocabulary and the chain chooses again.
    """

    def __init__(self, model: Model, params: SamplingParams, grammar: Grammar | None, index: int) -> None:
        self.seed = params.seed if params.seed is not None else secrets.randbits(32)
        self._chain = _chain(model, params, (self.seed + index) % SEEDS)
        self._grammar = grammar.sampler() if grammar else None
        self._candidates = _Candidates(model.n_vocab) if grammar else None

    def sample(self, context: Any, row: int) -> Token | None:
        """The next token from output `row` of the last decode; the chain remembers it.

        None where the grammar allows no token, or has become too costly to follow.
        """
        if self._candidates is None:
            return int(lib.llama_sampler_sample(self._chain, context, row))
        started = time.thread_time()
        token = self._constrained(self._candidates, context, row)
        if token is None:
            return None
        lib.llama_sampler_accept(self._grammar, token)
        lib.llama_sampler_accept(self._chain, token)
        return token if time.thread_time() - started < _GRAMMAR_SECONDS else None

    def _constrained(self, candidates: _Candidates, context: Any, row: int) -> Token | None:
        candidates.load(context, row)
        token = candidates.choose(self._chain)
        if candidates.allows(self._grammar, token):
            return token
        candidates.load(context, row)
        # Accepting a token that the grammar does not allow would end the process.
        return candidates.choose(self._chain) if candidates.mask(self._grammar) else None

    def close(self) -> None:
        """Free the chain and the grammar."""
        lib.llama_sampler_free(self._chain)
        if self._grammar:
            lib.llama_sampler_free(self._grammar)
        self._chain = self._grammar = None


class _Candidates:
    """The whole vocabulary with its logits, in the struct that samplers work on."""

    def __init__(self, n_vocab: int) -> None:
        import numpy as np

        self._rows = np.zeros(n_vocab, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        self._ids = np.arange(n_vocab, dtype="i4")
        self._n_vocab = n_vocab

    def load(self, context: Any, row: int) -> None:
        import numpy as np

        logits = lib.llama_get_logits_ith(context, row)
        self._rows["id"] = self._ids
        self._rows["logit"] = np.ctypeslib.as_array(logits, shape=(self._n_vocab,))

    def mask(self, grammar: Any) -> bool:
        """Rule out what `grammar` does not allow; False when nothing is left."""
        lib.llama_sampler_apply(grammar, ctypes.byref(self._struct()))
        return bool(self._rows["logit"].max() > float("-inf"))

    def choose(self, chain: Any) -> Token:
        choices = self._struct()
        lib.llama_sampler_apply(chain, ctypes.byref(choices))
        return int(choices.data[choices.selected].id)

    def _struct(self) -> Any:
        data = self._rows.ctypes.data_as(ctypes.POINTER(lib.llama_token_data))
        return lib.llama_token_data_array(data=data, size=self._n_vocab, selected=-1, sorted=False)

    def allows(self, grammar: Any, token: Token) -> bool:
        single = lib.llama_token_data(id=token, logit=1.0, p=0.0)
        choice = lib.llama_token_data_array(data=ctypes.pointer(single), size=1, selected=-1, sorted=False)
        lib.llama_sampler_apply(grammar, ctypes.byref(choice))
        return bool(single.logit != float("-inf"))


def _chain(model: Model, params: SamplingParams, seed: int) -> Any:
    """Biases and penalties first, then truncation, then temperature and the draw: llama-server's order."""
    options = lib.llama_sampler_chain_default_params()
    options.no_perf = True
    chain = lib.llama_sampler_chain_init(options)

    def add(sampler: Any) -> None:
        lib.llama_sampler_chain_add(chain, sampler)

    if params.logit_bias:
        biases = (lib.llama_logit_bias * len(params.logit_bias))(*params.logit_bias.items())
        add(lib.llama_sampler_init_logit_bias(model.n_vocab, len(biases), biases))
    if (params.repeat_penalty, params.frequency_penalty, params.presence_penalty) != (1.0, 0.0, 0.0):
        add(
            lib.llama_sampler_init_penalties(
                model.n_vocab,
                params.penalty_last_n,
                params.repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            )
        )
    if params.temperature < _GREEDY_BELOW:
        add(lib.llama_sampler_init_greedy())
        return chain
    if params.top_k > 0:
        add(lib.llama_sampler_init_top_k(params.top_k))
    if params.top_p < 1:
        add(lib.llama_sampler_init_top_p(params.top_p, 1))
    if params.min_p > 0:
        add(lib.llama_sampler_init_min_p(params.min_p, 1))
    if params.temperature != 1:
        add(lib.llama_sampler_init_temp(params.temperature))
    add(lib.llama_sampler_init_dist(seed))
    return chain
