"""Names of spans and attributes that client and server share: one table, so that traces fit together.

The `gen_ai.` names are OpenTelemetry's semantic conventions for generative AI, which live in a repository
of their own and still move; the Python constants for them are deprecated. Attributes of spans that are no
convention begin with `genesis.`.
"""

from __future__ import annotations

from typing import Final

PROVIDER: Final = "genesis-stack"
"""Value of `PROVIDER_NAME`."""

SERVICE: Final = "genesis-serve"
"""`service.name` of a server."""

# Spans

SPAN_REQUEST: Final = "request"
"""Server: one HTTP request; with children `SPAN_QUEUE`, `SPAN_PREFILL` and `SPAN_DECODE`."""
SPAN_QUEUE: Final = "queue"
SPAN_PREFILL: Final = "prefill"
SPAN_DECODE: Final = "decode"
SPAN_COMPLETE: Final = "local_llm_complete"
"""Client: one call of the library, its attempts included."""
SPAN_ATTEMPT: Final = "llm_api_call_{attempt}"
"""Client: one HTTP request, counted from 1."""

# Attributes of the GenAI conventions

OPERATION_NAME: Final = "gen_ai.operation.name"
"""`chat`, `text_completion`, `embeddings` or `rerank`."""
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
"""Prompts; only where the stack says `content: true`."""
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
"""Answers; likewise."""

# Metrics of the GenAI conventions, as the client library counts them

CLIENT_DURATION: Final = "gen_ai.client.operation.duration"
"""Histogram of seconds a call took, retries included."""
CLIENT_TOKENS: Final = "gen_ai.client.token.usage"
"""Histogram of tokens a call used, by `TOKEN_TYPE`."""
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 -- a name
"""`input` or `output`."""

# Attributes of the HTTP and general conventions

HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
ERROR_TYPE: Final = "error.type"

# Ours

REQUEST_ID: Final = "genesis.request_id"
CLIENT: Final = "genesis.client"
"""The declared client's name."""

OPERATIONS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
}
"""Paths to `OPERATION_NAME`; the conventions have no word for ranking."""
