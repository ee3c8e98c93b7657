"""Keys of clients: `gk_<id>_<secret>`, where the id may be told and the secret may not.

The secret has 256 random bits, so that its SHA-256 is as good as a slow hash: nobody can try all of them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32

_FORM: Final = re.compile(r"gk_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key; its text is what the client sends as Bearer token or signs with."""

    id: str
    text: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new key from the kernel's random numbers."""
        key_id = secrets.token_hex(ID_BYTES)
        return cls(key_id, f"gk_{key_id}_{secrets.token_hex(SECRET_BYTES)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key in a text, without surrounding white space.

        Raises:
            ValueError: it is no key; the message does not repeat it.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ValueError("not a key: it looks like gk_<12 hex digits>_<64 hex digits>")
        return cls(found[1], found[0])

    @property
    def digest(self) -> str:
        """SHA-256 of the whole text, in hex: what a server needs to know of a Bearer key."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def signing_secret(self) -> bytes:
        """The HMAC key of this key's signatures: the bytes of its text."""
        return self.text.encode()

    def __str__(self) -> str:
        """The id alone, so that no message shows the secret by accident."""
        return f"gk_{self.id}_…"
