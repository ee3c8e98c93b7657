"""Images on their way into a message: always as `data:` URIs, so that no server fetches anything."""

from __future__ import annotations

import asyncio
import io
from base64 import b64encode
from pathlib import Path
from typing import Any, Final, Protocol, TypeGuard
from urllib.parse import urlsplit

from genesis_stack.client.errors import ImageError
from genesis_stack.client.redaction import shown_url


class PillowImage(Protocol):
    """The part of `PIL.Image.Image` that is needed; Pillow itself is not."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:  # noqa: A002 -- Pillow's name
        """Write the image."""


class Fetch(Protocol):
    """Fetches a URL; see `Transport.fetch`."""

    async def __call__(self, url: str, deadline: float, most: int) -> bytes:
        """The content, at most `most` bytes."""


ImageSource = str | Path | bytes | PillowImage
"""A path, the bytes of a file, a Pillow image, or a URL: `data:`, or `https:` of an allowed host."""

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


class Images:
    """Reads images within the bounds of one client."""

    def __init__(self, fetch: Fetch, *, hosts: tuple[str, ...], most_bytes: int) -> None:
        self._fetch = fetch
        self._hosts = frozenset(hosts)
        self._most = most_bytes

    async def data_uri(self, source: ImageSource, deadline: float) -> str:
        """The image as a `data:` URI; `deadline` is the event loop's time.

        Raises:
            ImageError: it is too large, of no known kind, unreadable, or of a host that is not allowed.
            LocalLLMError: it could not be fetched.
        """
        if isinstance(source, str) and source.startswith("data:"):
            return self._checked_uri(source)
        if isinstance(source, str) and urlsplit(source).scheme in {"http", "https"}:
            return self._encoded(await self._fetched(source, deadline))
        if isinstance(source, bytes):
            return self._encoded(source)
        if _is_pillow(source):
            return self._encoded(await asyncio.to_thread(_written, source))
        if isinstance(source, str | Path):
            return self._encoded(await asyncio.to_thread(self._read, Path(source)))
        raise ImageError(
            f"a {type(source).__name__} is no image", remedy="give a path, bytes or Pillow image"
        )

    async def _fetched(self, url: str, deadline: float) -> bytes:
        host = urlsplit(url).hostname
        if host not in self._hosts:
            raise ImageError(
                f"{shown_url(url)}: images are not fetched from this host",
                remedy="add it to image_hosts if this program may reach it, or fetch the image yourself",
            )
        return await self._fetch(url, deadline, self._most)

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(self._most + 1)
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from None

    def _encoded(self, content: bytes) -> str:
        if len(content) > self._most:
            raise ImageError(f"the image has more than {self._most} bytes")
        return f"data:{_kind(content)};base64,{b64encode(content).decode('ascii')}"

    def _checked_uri(self, uri: str) -> str:
        if not uri.startswith("data:image/") or ";base64," not in uri[:64]:
            raise ImageError("the data: URI holds no base64 image")
        if len(uri) > self._most * 4 // 3 + 64:
            raise ImageError(f"the image has more than {self._most} bytes")
        return uri


def _kind(content: bytes) -> str:
    """The media type by the first bytes: names and headers lie."""
    for signature, kind in _SIGNATURES:
        if content.startswith(signature):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise ImageError("the file is no image of a known kind")


def _is_pillow(source: object) -> TypeGuard[PillowImage]:
    return callable(getattr(source, "save", None)) and hasattr(source, "mode")


def _written(image: PillowImage) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
