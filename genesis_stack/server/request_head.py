"""What of a request's head is refused before it is parsed: all that two readers could read differently.

A proxy and a server that disagree where a request ends let one client's bytes become another's request
(request smuggling: RFC 9112, sections 2.2, 5.1, 5.2, 6.1 and 6.3).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from genesis_stack.server.errors import HttpError, bad_request

END: Final = b"\r\n\r\n"
"""What ends a head."""

MAX_FIELDS: Final = 100
"""Header fields of one request."""

_REQUEST_LINE: Final = re.compile(rb"[A-Z]{1,24} [!-~]+ HTTP/1\.([01])\r\n")
_LENGTH: Final = b"\r\ncontent-length:"
_CODING: Final = b"\r\ntransfer-encoding:"
_ONCE: Final = (b"\r\nhost:", _LENGTH, _CODING)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")


def check_beginning(head: bytes | bytearray) -> None:
    """Raise HttpError 400 for what cannot become a request, such as a TLS handshake sent to a plain port."""
    if not 0x41 <= head[0] <= 0x5A:  # noqa: PLR2004 -- A to Z
        raise bad_request("This is no HTTP/1.1 request.", code="bad_request")


def check_head(head: bytes) -> None:
    """Raise HttpError for a complete head with ambiguous framing (400) or too many fields (431)."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise bad_request("This is no HTTP/1.1 request.", code="bad_request")
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\r\n " in head or b"\r\n\t" in head:
        raise bad_request("Each header field is one line that ends in CR LF.", code="bad_request")
    if lines > MAX_FIELDS + 2:
        raise head_too_large(f"more than {MAX_FIELDS} fields")
    _check_framing(head.lower(), chunks=line[1] == b"1")


def _check_framing(head: bytes, *, chunks: bool) -> None:
    """One Host, and one statement of where the body ends. The parser refuses spaces before a colon."""
    if any(head.count(field) > 1 for field in _ONCE):
        raise bad_request("Send Host, Content-Length and Transfer-Encoding once.", code="bad_request")
    coding, length = _value(head, _CODING), _value(head, _LENGTH)
    if coding is not None and length is not None:
        raise bad_request("Send either Content-Length or Transfer-Encoding.", code="bad_request")
    if coding is not None and (coding != b"chunked" or not chunks):
        raise bad_request("The only Transfer-Encoding is chunked, in HTTP/1.1.", code="bad_request")
    if length is not None and not _DIGITS.fullmatch(length):
        raise bad_request("Content-Length is a number.", code="bad_request")


def _value(head: bytes, field: bytes) -> bytes | None:
    _, found, rest = head.partition(field)
    return rest.partition(b"\r\n")[0].strip(b" \t") if found else None


def head_too_large(limit: str) -> HttpError:
    """The 431 for a head beyond this limit."""
    return HttpError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"The header fields are too large: {limit}.",
        code="header_too_large",
    )
