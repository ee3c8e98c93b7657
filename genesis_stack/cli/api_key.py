"""The key that verbs show to the servers of this host: from the environment, never from the command line."""

from __future__ import annotations

import os
from pathlib import Path

from genesis_stack.errors import ExitCode, GenesisError

OWN = "GENESIS_API_KEY"
CLIENTS = "GENESIS_LLM_API_KEY"
CLIENTS_FILE = "GENESIS_LLM_API_KEY_FILE"


def api_key() -> str:
    """GENESIS_API_KEY, else the client library's GENESIS_LLM_API_KEY or its file; empty where none is set.

    Raises:
        GenesisError: the file cannot be read, or it is no key.
    """
    name = next((one for one in (OWN, CLIENTS, CLIENTS_FILE) if os.environ.get(one)), None)
    if name is None:
        return ""
    key = _read(Path(os.environ[name])) if name == CLIENTS_FILE else os.environ[name]
    if not all("!" <= character <= "~" for character in key):
        raise GenesisError(
            f"{name}: has characters that no key has: spaces, line breaks or non-ASCII",
            hint="`genesis-stack clients add` and `rotate` print keys",
            exit_code=ExitCode.INVALID_CONFIG,
        )
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GenesisError(
            f"{CLIENTS_FILE}: {path} cannot be read: {error.__class__.__name__}",
            hint="name a file that holds a key, or unset it",
            exit_code=ExitCode.INVALID_CONFIG,
        ) from None
