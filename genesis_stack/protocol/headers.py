"""HTTP header names that client and server share, lower-case as ASGI wants them."""

from __future__ import annotations

import re
from typing import Final

REQUEST_ID: Final = "x-request-id"
"""Names one exchange in both sides' logs; taken from the client when it is well formed."""

REQUEST_ID_FORM: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""What is well formed, as a whole."""

RETRY_AFTER: Final = "retry-after"
"""Whole seconds after which trying again makes sense (RFC 9110, 10.2.3)."""

SIGNATURE_FIELDS: Final = frozenset({b"signature", b"signature-input"})
"""A request with either of them says that it is signed (RFC 9421), and must be."""

GUARD: Final = "x-genesis-guard"
"""What the server thinks of a prompt: `flagged;score=0.82;patterns=v1`."""
