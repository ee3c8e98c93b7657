"""The request fields that say how to sample, common to chat, completions and responses."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from genesis_stack.engine.interface import SEEDS, SamplingParams
from genesis_stack.server.errors import bad_request
from genesis_stack.server.guard.identifier import Identifier
from genesis_stack.server.json_body import ModelRequest, StrictModel

MAX_STOPS: Final = 16
"""Stop strings of one request; OpenAI takes 4."""

MAX_CHOICES: Final = 16
"""`n` of one request."""

MAX_LOGIT_BIAS: Final = 1024
"""Entries of `logit_bias`."""


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity, but 1e999 parses as one."""
    json.dumps(value, allow_nan=False)
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]
"""Any JSON object whose numbers are finite."""

StopString = Annotated[str, Field(min_length=1, max_length=256)]
Stop = StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)]
TokenLimit = Annotated[int, Field(ge=1, le=2**31 - 1)]


class StreamOptions(StrictModel):
    """`include_usage` adds a last chunk with the token counts."""

    include_usage: bool | None = None


class SamplingFields(ModelRequest):
    """OpenAI's sampling fields with OpenAI's bounds, and llama-server's extensions by its names."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    user: Identifier | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: Stop | None = None
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=MAX_LOGIT_BIAS
    )
    top_k: int | None = Field(None, ge=0, le=2**31 - 1)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, gt=0, le=10)
    repeat_last_n: int | None = Field(None, ge=0, le=2**31 - 1)
    ignore_eos: bool | None = None
    grammar: str | None = Field(None, min_length=1)

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with a chunk of token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(
        self, *, max_tokens: int | None, top_logprobs: int | None = None, json_schema: str | None = None
    ) -> SamplingParams:
        """How to sample; absent and null fields take the defaults of `SamplingParams`.

        Raises HttpError 400 when a grammar and a schema are both given.
        """
        if self.grammar is not None and json_schema is not None:
            raise bad_request("Give either a grammar or a JSON schema, not both.", param="grammar")
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repeat_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "penalty_last_n": self.repeat_last_n,
            "seed": None if self.seed is None else self.seed % SEEDS,
            "logit_bias": self.logit_bias,
            "top_logprobs": top_logprobs,
            "stop": (self.stop,) if isinstance(self.stop, str) else self.stop,
            "max_tokens": max_tokens,
            "ignore_eos": self.ignore_eos,
            "grammar": self.grammar,
            "json_schema": json_schema,
        }
        return SamplingParams(**{name: value for name, value in given.items() if value is not None})
