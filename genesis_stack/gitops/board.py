"""Where the canary's last verdict hangs: a branch of the repository, or a URL. Neither is believed."""

from __future__ import annotations

import http
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from genesis_stack.errors import GenesisError
from genesis_stack.gitops.repository import Repository
from genesis_stack.process import NotTextError

if TYPE_CHECKING:
    import httpx

FILE: Final = "verdict.json"
MOST_BYTES: Final = 65_536
"""Of a document; no more than that of a longer one is taken from a web server."""
NETWORK_SECONDS: Final = 30.0


class BoardError(GenesisError):
    """The board cannot be reached, or does not take what is written."""


class Board(Protocol):
    """Holds one document."""

    def read(self) -> str | None:
        """The document; None while there is none."""

    def write(self, document: str, message: str) -> None:
        """Replace it; `message` is for people who look at the board's history."""


@dataclass(frozen=True, slots=True)
class BranchBoard:
    """A branch of the repository itself, moved forward only."""

    repository: Repository
    ref: str

    def read(self) -> str | None:
        """The file at the tip of the branch."""
        tip = self.repository.fetch_ref(self.ref)
        try:
            return None if tip is None else self.repository.file(tip, FILE)
        except NotTextError:
            raise BoardError(
                f"{FILE} on {self.ref} is not UTF-8", hint="nobody but the canary writes it"
            ) from None

    def write(self, document: str, message: str) -> None:
        """One more commit on the branch."""
        tip = self.repository.fetch_ref(self.ref)
        self.repository.push(self.repository.commit_files({FILE: document}, tip, message), self.ref)


@dataclass(frozen=True, slots=True)
class UrlBoard:
    """A web server that keeps what is PUT there.

    `token` is a file with what it wants to see as a Bearer token; without that file nothing is shown.
    """

    url: str
    token: Path

    def read(self) -> str | None:
        """GET it; 404 says that there is none."""
        content = b""
        with self._asked("GET") as answer:
            if answer.status_code == http.HTTPStatus.NOT_FOUND:
                return None
            self._check(answer)
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    raise BoardError(f"{self.url}: what has more than {MOST_BYTES} bytes is no verdict")
        return content.decode("utf-8", "replace")

    def write(self, document: str, message: str) -> None:  # noqa: ARG002 -- a branch has a history
        """PUT it."""
        with self._asked("PUT", document) as answer:
            self._check(answer)

    @contextmanager
    def _asked(self, method: str, content: str | None = None) -> Iterator[httpx.Response]:
        """The head of the answer; its body comes as it is read, and packed it could unfold to any size."""
        import httpx

        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.token.exists():
            headers["Authorization"] = f"Bearer {self.token.read_text().strip()}"
        try:
            with httpx.stream(
                method, self.url, content=content, headers=headers, timeout=NETWORK_SECONDS
            ) as answer:
                yield answer
        except httpx.HTTPError as error:
            raise BoardError(f"{self.url}: {error}", hint="look at gitops.canary.report") from None

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            raise BoardError(
                f"{self.url}: answers {answer.status_code} {answer.reason_phrase}",
                hint=f"it must take PUT and GET; a Bearer token for it stands in {self.token}",
            )
