"""Who is asking: a Bearer key, or a signature of every request (RFC 9421).

Both are `httpx.Auth`, and callables that take and return a request: so they also fit into clients that
took httpx's design over, such as the one inside OpenAI's SDK.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import httpx

from genesis_stack.client.config import LocalLLMConfig
from genesis_stack.protocol.keys import ClientKey

_UNAUTHORIZED = 401


class BearerAuth(httpx.Auth):
    """Sends `Authorization: Bearer KEY`."""

    def __init__(self, key: str) -> None:
        self._field = f"Bearer {key}"

    def __call__(self, request: Any) -> Any:
        """The request with its key; for clients that are not httpx."""
        request.headers["Authorization"] = self._field
        return request

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The hook of httpx."""
        yield self(request)

    def __repr__(self) -> str:
        return "BearerAuth(…)"


class SignatureAuth(httpx.Auth):
    """Signs each request with HMAC-SHA256, and takes the place of a Bearer key.

    A key of genesis-stack (`gk_…`) carries its id; any other secret needs the `key_id` that the server knows
    it by. Every attempt is signed anew: a signature is good once.

    Raises:
        ValueError: no `key_id`, and the secret is no such key; the message does not repeat it.
    """

    requires_request_body = True

    def __init__(
        self, secret: str, *, key_id: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        from genesis_stack.protocol.signing import Head, sign  # loads OpenSSL's bindings: not for Bearer

        self._head, self._sign = Head, sign
        self._key_id = ClientKey.parse(secret).id if key_id is None else key_id
        self._secret = secret.strip().encode()
        self._clock = clock

    def __call__(self, request: Any) -> Any:
        """The request with its signature; its body must be in memory."""
        head = self._head(request.method, _authority(request), request.url.raw_path)
        made = int(self._clock())
        fields = self._sign(head, request.content, key_id=self._key_id, secret=self._secret, created=made)
        request.headers.pop("Authorization", None)
        request.headers.update(fields)
        return request

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign, and once again if the server refuses a signature that waited for it.

        A server takes none from before its own start: what queued during a restart is too old.
        """
        made = self._clock()
        response = yield self(request)
        if response.status_code == _UNAUTHORIZED and self._clock() - made >= 1.0:
            yield self(request)

    def __repr__(self) -> str:
        return f"SignatureAuth(key_id={self._key_id!r}, …)"


def auth_of(config: LocalLLMConfig) -> httpx.Auth | None:
    """What the settings ask for: a signature before a key, and nothing where there is neither."""
    if config.hmac_secret is not None:
        return SignatureAuth(config.hmac_secret.get_secret_value(), key_id=config.key_id)
    if config.api_key is not None:
        return BearerAuth(config.api_key.get_secret_value())
    return None


def _authority(request: Any) -> bytes:
    host: str = request.headers["Host"]
    return host.encode()
