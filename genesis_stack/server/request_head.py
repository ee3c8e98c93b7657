"""What of a request's head is refused before it is parsed: all that two readers could read differently.

A proxy and a server that disagree where a request ends let one client's bytes become another's request
(request smuggling: RFC 9112, sections 2.2, 5.1, 5.2, 6.1 and 6.3).
"""

from __future__ import annotations

import re
from collections import Counter
from http import HTTPStatus
from typing import Final

from genesis_stack.server.errors import HttpError, bad_request

END: Final = b"\r\n\r\n"
"""What ends a head."""

MAX_FIELDS: Final = 100
"""Header fields of one request."""

_REQUEST_LINE: Final = re.compile(rb"[A-Z]{1,24} [!-~]+ HTTP/1\.([01])\r\n")
_BARE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_FRAMING: Final = re.compile(
    rb"^(host|content-length|transfer-encoding)[ \t]*:[ \t]*(.*?)[ \t]*\r$", re.IGNORECASE | re.MULTILINE
)
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
    if _BARE_LINE_END.search(head) or b"\r\n " in head or b"\r\n\t" in head:
        raise bad_request("Each header field is one line that ends in CR LF.", code="bad_request")
    if head.count(b"\r\n") > MAX_FIELDS + 2:
        raise head_too_large(f"more than {MAX_FIELDS} fields")
    framing = [(name.lower(), value) for name, value in _FRAMING.findall(head)]
    _check_framing(framing, keeps_alive=line[1] == b"1")


def _check_framing(framing: list[tuple[bytes, bytes]], *, keeps_alive: bool) -> None:
    """One Host, and one statement of where the body ends."""
    counts = Counter(name for name, _ in framing)
    if any(count > 1 for count in counts.values()):
        raise bad_request("Send Host, Content-Length and Transfer-Encoding once.", code="bad_request")
    values = dict(framing)
    coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
    if coding is not None and length is not None:
        raise bad_request("Send either Content-Length or Transfer-Encoding.", code="bad_request")
    if coding is not None and (coding.lower() != b"chunked" or not keeps_alive):
        raise bad_request("The only Transfer-Encoding is chunked, in HTTP/1.1.", code="bad_request")
    if length is not None and not _DIGITS.fullmatch(length):
        raise bad_request("Content-Length is a number.", code="bad_request")


def head_too_large(limit: str) -> HttpError:
    """The 431 for a head beyond this limit."""
    return HttpError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"The header fields are too large: {limit}.",
        code="header_too_large",
    )
