"""Downloads that survive broken connections: RFC 9110 ranges, guarded by If-Range.

The part that has arrived lies beside a small note with the URL and the validator (strong ETag, else
Last-Modified) of the representation it belongs to. Without a validator, or when the server has another
representation by now, a resumed download starts from zero.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genesis_stack import __version__
from genesis_stack.modelstore.faults import ChecksumError, FetchError
from genesis_stack.modelstore.progress import progress, say
from genesis_stack.modelstore.quantity import show_size

if TYPE_CHECKING:
    import httpx

ATTEMPTS: Final = 5
"""Attempts in a row that may bring no byte before the download gives up."""
_CONNECT_TIMEOUT: Final = 15.0
_READ_TIMEOUT: Final = 60.0
_LONGEST_WAIT: Final = 30.0

Room = Callable[[int], None]
"""Raises DiskError unless that many more bytes have room."""


@dataclass(frozen=True, slots=True)
class Download:
    """One file to fetch: from `url` into `part`; `expected` is its exact size in bytes, if declared."""

    url: str
    headers: Mapping[str, str]
    part: Path
    expected: int | None
    what: str

    @property
    def note(self) -> Path:
        """The note beside the part."""
        return self.part.with_name(f"{self.part.name}.json")

    @property
    def have(self) -> int:
        """Bytes that have arrived."""
        return self.part.stat().st_size if self.part.exists() else 0

    def validator(self) -> str | None:
        """The If-Range value of the part, if it belongs to this URL."""
        try:
            note = json.loads(self.note.read_text())
            return str(note["validator"]) if note["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def discard(self) -> None:
        """Forget what has arrived."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class _BrokenError(Exception):
    """This attempt failed, another may not; `wait` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def download(job: Download, room: Room, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Fetch until the file is whole; what has arrived stays for the next run when that fails.

    Raises:
        FetchError: the server cannot be reached, refuses, or breaks off again and again.
        ChecksumError: the server's file has another size than `job.expected`.
        DiskError: raised by `room`.
    """
    import httpx

    timeout = httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT)
    failures = 0
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        while True:
            before = job.have
            try:
                _attempt(client, job, room)
            except (httpx.TransportError, httpx.TooManyRedirects, _BrokenError) as error:
                failures = failures + 1 if job.have <= before else 1
                if failures >= ATTEMPTS:
                    raise _unreachable(job, error) from error
                wait = min(_LONGEST_WAIT, max(getattr(error, "wait", 0.0), 0.5 * 2 ** (failures - 1)))
                say(f"{job.what}: {error or type(error).__name__}; again in {wait:g} s")
                pause(wait)
            else:
                return


def _attempt(client: httpx.Client, job: Download, room: Room) -> None:
    """One request; returns when the file is whole."""
    validator = job.validator()
    start = job.have if validator is not None else 0
    headers = {"User-Agent": f"genesis-stack/{__version__}", "Accept-Encoding": "identity", **job.headers}
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with client.stream("GET", job.url, headers=headers) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _range(response)[1] == start > 0:
                return
            job.discard()
            raise _BrokenError("the part does not match the server's file")
        _accept(response, job)
        start, total = _span(response, start, validator)
        _check_size(job, total)
        room((total if total is not None else job.expected or start) - start)
        if not start:
            job.discard()  # before the note: it must never speak of other bytes than those that are there
        _note(response, job)
        _receive(response, job, start, total)


def _accept(response: httpx.Response, job: Download) -> None:
    status = response.status_code
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        return
    text = f"{status} {response.reason_phrase}"
    if (
        status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        after = response.headers.get("Retry-After", "")
        raise _BrokenError(
            f"the server says {text}", float(after) if re.fullmatch(r"\d{1,4}", after) else 0.0
        )
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            hint = "the file needs permission: accept its license on the hub, then set HF_TOKEN"
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            hint = "check owner, repository, file name and revision in the stack"
        case _:
            hint = "the server will not give this file"
    raise FetchError(f"{job.what}: {response.url.host} answers {text}", hint=hint)


def _span(response: httpx.Response, start: int, validator: str | None) -> tuple[int, int | None]:
    """Where the body starts in the file, and the file's size if the server tells it."""
    if response.status_code == HTTPStatus.OK:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    first, total = _range(response)
    if first != start or _validator(response) not in {validator, None}:
        raise _BrokenError("the server sent another part than was asked for")
    return start, total


def _range(response: httpx.Response) -> tuple[int | None, int | None]:
    """First byte and complete length of a Content-Range (RFC 9110, 14.4)."""
    header = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(?:(\d{1,18})|\*)", header)
    if found is None:
        return None, None
    return int(found[1]) if found[1] else None, int(found[2]) if found[2] else None


def _check_size(job: Download, total: int | None) -> None:
    if job.expected is not None and total is not None and total != job.expected:
        job.discard()
        raise ChecksumError(
            f"{job.what}: the server's file has {total} bytes, the stack declares {job.expected}",
            hint="another revision may be published: pin the revision, or declare its size and sha256",
        )


def _validator(response: httpx.Response) -> str | None:
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    modified: str | None = response.headers.get("Last-Modified")
    return modified


def _note(response: httpx.Response, job: Download) -> None:
    validator = _validator(response)
    if validator is not None:
        job.note.write_text(json.dumps({"url": job.url, "validator": validator}))


def _receive(response: httpx.Response, job: Download, start: int, total: int | None) -> None:
    limit = total if total is not None else job.expected
    position = start
    with _appending(job.part) as descriptor, progress(job.what, limit, done=start) as advance:
        for chunk in response.iter_raw():  # a chunk size would hold back, and lose, what is below it
            position += len(chunk)
            if limit is not None and position > limit:
                job.discard()
                raise ChecksumError(f"{job.what}: the server sends more than the {limit} bytes that are due")
            _write_all(descriptor, chunk)
            advance(position)
    if limit is not None and position < limit:
        raise _BrokenError(f"the server ended after {show_size(position)} of {show_size(limit)}")


@contextlib.contextmanager
def _appending(part: Path) -> Iterator[int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _unreachable(job: Download, error: Exception) -> FetchError:
    import httpx

    host = httpx.URL(job.url).host
    kept = f"; {show_size(job.have)} are kept, the next run goes on from there" if job.have else ""
    return FetchError(
        f"{job.what}: cannot be downloaded from {host}: {error or type(error).__name__}{kept}",
        hint=f"check the connection to {host} and HTTPS_PROXY; behind a mirror of the hub set HF_ENDPOINT; "
        "or fetch the file on another machine and run `genesis-stack models import FILE`, "
        "or point `source` at a copy: https://… or file:///…",
    )
