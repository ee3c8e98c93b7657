"""Images in requests: only as data, and only as many pixels as the stack allows, by their header.

An image of a few kilobytes can decode to gigabytes, so its size is read off the first bytes before any
decoder sees them. Only a URL that carries the image itself is taken: fetching one would let a client make
requests from here.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

HEADER_BYTES: Final = 256 * 1024
"""Of an image that are looked at: a JPEG's size may stand behind colour profiles and a thumbnail."""

MOST_SEGMENTS: Final = 512
"""Segments of a JPEG that are stepped over."""

_PREFIXES: Final = tuple(f"data:image/{kind};base64," for kind in ("png", "jpeg", "gif", "webp"))
_SIZED: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's start-of-frame markers (ITU-T T.81, table B.1)."""


class ImageError(ValueError):
    """Why an image is not taken."""


def pixels(url: str) -> int:
    """How many pixels the image of a data: URI declares.

    Raises:
        ImageError: it is another kind of URL, not base64, not PNG, JPEG, GIF or WebP, or has no size.
    """
    prefix = next((prefix for prefix in _PREFIXES if url[:32].lower().startswith(prefix)), None)
    if prefix is None:
        raise ImageError("an image is sent as a data: URI of image/png, jpeg, gif or webp in base64")
    start = len(prefix)
    encoded = url[start : start + HEADER_BYTES // 3 * 4]
    try:
        header = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("the image is not valid base64") from None
    try:
        width, height = _size(header)
    except (struct.error, IndexError):
        raise ImageError("the image's header is cut short") from None
    if not (width and height):
        raise ImageError("the image has no size")
    return width * height


def _size(header: bytes) -> tuple[int, int]:
    """Width and height; raises struct.error or IndexError where the bytes end too early."""
    match header[:4], header[8:16]:
        case b"\x89PNG", _:
            return struct.unpack(">II", header[16:24])
        case b"GIF8", _:
            return struct.unpack("<HH", header[6:10])
        case b"RIFF", b"WEBPVP8 ":
            width, height = struct.unpack("<HH", header[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case b"RIFF", b"WEBPVP8L":
            (bits,) = struct.unpack("<I", header[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"RIFF", b"WEBPVP8X":
            width, height = (int.from_bytes(header[at : at + 3], "little") + 1 for at in (24, 27))
            return (width, height) if len(header) >= 30 else (0, 0)  # noqa: PLR2004 -- the chunk's end
        case magic, _ if magic[:3] == b"\xff\xd8\xff":
            return _jpeg_size(header)
    raise ImageError("the image is no PNG, JPEG, GIF or WebP")


def _jpeg_size(header: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(MOST_SEGMENTS):
        marker, length = struct.unpack(">xBH", header[at : at + 4])
        if marker in _SIZED:
            height, width = struct.unpack(">HH", header[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise ImageError("the image's size stands behind too many segments")
