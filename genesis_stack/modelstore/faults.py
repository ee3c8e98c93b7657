"""What can go wrong with a model file.

GenesisError
├── SourceError     the declared source cannot be read (source.py)
├── FetchError      the file cannot be had, now or ever
│   └── DiskError   there is no room for it
├── ChecksumError   the file is not what the stack declares; exit code 65
└── GgufError       the file is no usable GGUF; exit code 65 (gguf_header.py)
"""

from __future__ import annotations

from genesis_stack.errors import ExitCode, GenesisError


class FetchError(GenesisError):
    """The file cannot be had from its source."""


class DiskError(FetchError):
    """The file system of the store has no room or cannot be written."""


class ChecksumError(GenesisError):
    """Size or SHA-256 differ from what the stack declares."""

    exit_code = ExitCode.CHECKSUM
