"""The client library that replaces the cloud call.

from genesis_stack.client import LocalLLMClient

async with LocalLLMClient("http://127.0.0.1:8000") as client:
    answer = await client.complete_text("Name three colours.")
    print(answer.text, answer.usage.total_tokens)

Names are loaded when they are first used, so that importing this costs a program next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genesis_stack.client.batch import BatchResult
    from genesis_stack.client.client import LocalLLMClient
    from genesis_stack.client.config import (
        BreakerPolicy,
        Endpoint,
        LocalLLMConfig,
        RetryPolicy,
        Routing,
        Timeouts,
    )
    from genesis_stack.client.ensemble import EnsembleResult
    from genesis_stack.client.errors import (
        AuthenticationError,
        CircuitOpenError,
        ClosedError,
        ConfigurationError,
        ConnectionFailedError,
        ContextLengthError,
        DeadlineExceededError,
        EnsembleError,
        ImageError,
        IntegrityError,
        InvalidRequestError,
        LocalLLMError,
        MalformedResponseError,
        NotFoundError,
        OverloadedError,
        OwnLimitError,
        PermissionDeniedError,
        QueueFullError,
        RateLimitedError,
        RefusedError,
        ServerFaultError,
        StreamInterruptedError,
        StructuredOutputError,
        ToolError,
        UnavailableError,
    )
    from genesis_stack.client.integrity import verify_file
    from genesis_stack.client.messages import Message
    from genesis_stack.client.results import (
        Chunk,
        Completion,
        Embeddings,
        Health,
        ModelInfo,
        Structured,
        Timings,
        ToolCall,
        Usage,
    )
    from genesis_stack.client.signing import BearerAuth, SignatureAuth
    from genesis_stack.client.streaming import Stream
    from genesis_stack.client.sync import SyncLocalLLMClient, SyncStream
    from genesis_stack.client.tools import Tool

__all__ = [
    "AuthenticationError",
    "BatchResult",
    "BearerAuth",
    "BreakerPolicy",
    "Chunk",
    "CircuitOpenError",
    "ClosedError",
    "Completion",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContextLengthError",
    "DeadlineExceededError",
    "Embeddings",
    "Endpoint",
    "EnsembleError",
    "EnsembleResult",
    "Health",
    "ImageError",
    "IntegrityError",
    "InvalidRequestError",
    "LocalLLMClient",
    "LocalLLMConfig",
    "LocalLLMError",
    "MalformedResponseError",
    "Message",
    "ModelInfo",
    "NotFoundError",
    "OverloadedError",
    "OwnLimitError",
    "PermissionDeniedError",
    "QueueFullError",
    "RateLimitedError",
    "RefusedError",
    "RetryPolicy",
    "Routing",
    "ServerFaultError",
    "SignatureAuth",
    "Stream",
    "StreamInterruptedError",
    "Structured",
    "StructuredOutputError",
    "SyncLocalLLMClient",
    "SyncStream",
    "Timeouts",
    "Timings",
    "Tool",
    "ToolCall",
    "ToolError",
    "UnavailableError",
    "Usage",
    "verify_file",
]

_MODULES: Final = {
    "batch": ("BatchResult",),
    "client": ("LocalLLMClient",),
    "config": ("BreakerPolicy", "Endpoint", "LocalLLMConfig", "RetryPolicy", "Routing", "Timeouts"),
    "ensemble": ("EnsembleResult",),
    "integrity": ("verify_file",),
    "messages": ("Message",),
    "results": (
        "Chunk",
        "Completion",
        "Embeddings",
        "Health",
        "ModelInfo",
        "Structured",
        "Timings",
        "ToolCall",
        "Usage",
    ),
    "signing": ("BearerAuth", "SignatureAuth"),
    "streaming": ("Stream",),
    "sync": ("SyncLocalLLMClient", "SyncStream"),
    "tools": ("Tool",),
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name; what is in no other module is an error of `errors`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
