"""JSON objects that several of OpenAI's responses share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from genesis_stack.engine.interface import ChosenLogprob, Timings, TokenLogprob, Usage

Json = dict[str, Any]

IMPOSSIBLE: Final = -9999.0
"""OpenAI's stand-in for the logarithm of zero, which JSON cannot write."""


def usage_object(usage: Usage) -> Json:
    """`usage` of chat and text completions."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_object(timings: Timings, usage: Usage) -> Json:
    """llama-server's `timings`, with the time in the queue; `*_ms` are milliseconds."""
    prompt_n = usage.prompt_tokens - usage.cached_tokens
    return {
        "queue_ms": timings.queue * 1e3,
        "cache_n": usage.cached_tokens,
        "prompt_n": prompt_n,
        "prompt_ms": timings.prefill * 1e3,
        "prompt_per_token_ms": _ratio(timings.prefill * 1e3, prompt_n),
        "prompt_per_second": _ratio(prompt_n, timings.prefill),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": timings.decode * 1e3,
        "predicted_per_token_ms": _ratio(timings.decode * 1e3, usage.completion_tokens),
        "predicted_per_second": _ratio(usage.completion_tokens, timings.decode),
    }


def chat_logprobs(logprobs: Sequence[ChosenLogprob]) -> Json:
    """`logprobs` of a chat choice."""
    return {
        "content": [
            {**_token(entry.chosen), "top_logprobs": [_token(token) for token in entry.top]}
            for entry in logprobs
        ],
        "refusal": None,
    }


def text_logprobs(logprobs: Sequence[ChosenLogprob], offset: int) -> Json:
    """`logprobs` of a text choice; `offset` is where its first token begins in the text."""
    offsets = []
    for entry in logprobs:
        offsets.append(offset)
        offset += len(entry.chosen.text)
    return {
        "tokens": [entry.chosen.text for entry in logprobs],
        "token_logprobs": [_finite(entry.chosen.logprob) for entry in logprobs],
        "top_logprobs": [{token.text: _finite(token.logprob) for token in entry.top} for entry in logprobs],
        "text_offset": offsets,
    }


def _token(token: TokenLogprob) -> Json:
    return {"token": token.text, "logprob": _finite(token.logprob), "bytes": list(token.utf8)}


def _finite(logprob: float) -> float:
    return max(logprob, IMPOSSIBLE)


def _ratio(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else 0.0
