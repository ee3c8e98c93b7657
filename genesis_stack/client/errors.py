"""What can go wrong, each with a remedy in its message.

LocalLLMError                        everything that this package raises on purpose
├── ConfigurationError               the client is set up in a way that cannot work
├── ClosedError                      the client was used before it was opened or after it was closed
├── RefusedError                     the server refuses this request: sending it again changes nothing
│   ├── InvalidRequestError          400, 413, 415, 422: something in it is wrong
│   │   └── ContextLengthError       prompt and answer do not fit into the model's context
│   ├── AuthenticationError          401: no key, a wrong key, or a signature that does not hold
│   ├── PermissionDeniedError        403: the key is good, but not for this
│   └── NotFoundError                404: no such model or route there
├── UnavailableError                 not now: retried, then answered by a fallback, if there is one
│   ├── RateLimitedError             429: more than the server allows; `retry_after` seconds
│   │   └── OwnLimitError            more than the client's own requests_per_minute; never sent
│   ├── OverloadedError              503: a restart, a drain; `retry_after` seconds
│   │   └── QueueFullError           503: healthy, with a full queue; no breaker counts it
│   ├── ServerFaultError             any other 5xx
│   ├── ConnectionFailedError        nobody answered, or the connection broke
│   ├── CircuitOpenError             every server of the model failed too often; `retry_after` seconds
│   └── DeadlineExceededError        the time of this call was up
├── StreamInterruptedError           the stream broke after tokens were handed out; `partial` has them
├── MalformedResponseError           the answer is not what OpenAI's API sends
├── IntegrityError                   a server or a file has other weights than the ones declared
├── StructuredOutputError            the answer does not fit the schema; `text` has it
├── ToolError                        the model calls a tool that is not there, or never stops calling
├── ImageError                       an image cannot be used
└── EnsembleError                    no answer of an ensemble is good; `failures` has the reasons

No message, and no repr, has a prompt, a key or the credentials of a URL in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from genesis_stack.client.results import Completion


class LocalLLMError(Exception):
    """A failure with its remedy: what went wrong, then what to do about it.

    `request_id` finds the exchange in the server's log; `endpoint` and `model` say where it happened, as far
    as that is known.
    """

    remedy: ClassVar[str] = ""
    trips_breaker: ClassVar[bool] = False
    """Whether the server is to blame, so that the circuit breaker counts it."""

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        request_id: str | None = None,
        endpoint: str | None = None,
        model: str | None = None,
    ) -> None:
        hint = self.remedy if remedy is None else remedy
        super().__init__(f"{message}; {hint}" if hint else message)
        self.request_id = request_id
        self.endpoint = endpoint
        self.model = model


class ConfigurationError(LocalLLMError):
    """The client is set up in a way that cannot work."""


class ClosedError(LocalLLMError):
    """The client was used before it was opened or after it was closed."""

    remedy = "use it inside `async with LocalLLMClient(...) as client:`, or `with` for the sync twin"


class RefusedError(LocalLLMError):
    """The server refuses this request: sending it again changes nothing. `code` is the server's."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        remedy: str | None = None,
        request_id: str | None = None,
        endpoint: str | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, request_id=request_id, endpoint=endpoint, model=model)
        self.status = status
        self.code = code


class InvalidRequestError(RefusedError):
    """Something in the request is wrong; the server's message says what."""

    remedy = "change the request, the server takes it no other way"


class ContextLengthError(InvalidRequestError):
    """Prompt and answer do not fit into the model's context."""

    remedy = "shorten the prompt, ask for fewer max_tokens, or raise engine.context in the stack"


class AuthenticationError(RefusedError):
    """No key, a wrong key, or a signature that does not hold."""

    remedy = "check GENESIS_LLM_API_KEY or the signing secret; `genesis-stack clients rotate` makes new ones"


class PermissionDeniedError(RefusedError):
    """The key is good, but not for this."""

    remedy = "allow the client this model in the stack (clients.<name>.models)"


class NotFoundError(RefusedError):
    """No such model or route there."""

    remedy = "`client.models()` lists what is served"


class UnavailableError(LocalLLMError):
    """Not now. `retry_after` is in seconds, where the server says so."""

    trips_breaker = True

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        remedy: str | None = None,
        request_id: str | None = None,
        endpoint: str | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, request_id=request_id, endpoint=endpoint, model=model)
        self.retry_after = retry_after


class RateLimitedError(UnavailableError):
    """Too many requests or tokens, by the server's count."""

    trips_breaker = False
    remedy = "send fewer, or raise the client's limits in the stack"


class OwnLimitError(RateLimitedError):
    """The client's own requests_per_minute allow no request before the deadline."""

    remedy = "give the call a longer deadline, or raise requests_per_minute"


class OverloadedError(UnavailableError):
    """The server is busy, starting or stopping."""

    remedy = "try again later, or give the model more replicas"


class QueueFullError(OverloadedError):
    """A healthy server whose queue is full: no reason to call it broken, so no breaker counts it."""

    trips_breaker = False


class ServerFaultError(UnavailableError):
    """The server failed at this request."""

    remedy = "its log has the details under the request id"


class ConnectionFailedError(UnavailableError):
    """Nobody answered, or the connection broke before the answer was complete."""

    remedy = "`genesis-stack status` on its host tells whether it runs"


class CircuitOpenError(UnavailableError):
    """Every server of the model failed too often lately, so none is asked until `retry_after` has passed."""

    trips_breaker = False
    remedy = "look at the failures before it; one request will probe the server by then"


class DeadlineExceededError(UnavailableError):
    """The time of this call was up, retries and waiting included."""

    remedy = "give the call a longer deadline, or ask for fewer tokens"


class StreamInterruptedError(LocalLLMError):
    """The stream broke after tokens were handed out. It is not sent again: that would say things twice.

    `partial` is the answer as far as it came.
    """

    remedy = "keep `partial`, or ask again from the start"
    trips_breaker = True

    def __init__(
        self,
        message: str,
        *,
        partial: Completion,
        request_id: str | None = None,
        endpoint: str | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, endpoint=endpoint, model=model)
        self.partial = partial


class MalformedResponseError(LocalLLMError):
    """The answer is not what OpenAI's API sends."""

    remedy = "check that the endpoint's URL is a model server, not a page or a proxy's error"
    trips_breaker = True


class IntegrityError(LocalLLMError):
    """A server or a file has other weights than the ones declared."""

    remedy = "stop trusting its answers; `genesis-stack models verify` tells what is on its disk"


class StructuredOutputError(LocalLLMError):
    """The answer does not fit the schema. `text` is what the model said; it is in no message."""

    remedy = "raise max_tokens if it was cut short, or make the schema simpler"

    def __init__(self, message: str, *, text: str, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.text = text


class ToolError(LocalLLMError):
    """The model calls a tool that is not there, or never stops calling."""

    remedy = "name the tools in the system prompt, or raise max_rounds"


class ImageError(LocalLLMError):
    """An image cannot be used."""

    remedy = "give a PNG, JPEG, GIF, WebP or BMP within max_image_bytes"


class EnsembleError(LocalLLMError):
    """No answer of an ensemble is good; `failures` has the reasons, in the order of the models."""

    remedy = "see `failures`; relax `accept`, or ask other models"

    def __init__(self, message: str, *, failures: Sequence[LocalLLMError] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
