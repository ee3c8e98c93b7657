"""Where the canary's last verdict hangs: a branch of the repository, or a URL. Neither is believed."""

from __future__ import annotations

import http
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from genesis_stack.errors import GenesisError
from genesis_stack.gitops.repository import Repository

if TYPE_CHECKING:
    import httpx

FILE: Final = "verdict.json"
MOST_BYTES: Final = 65_536
"""Size of a document from which on nobody reads it."""
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
        return None if tip is None else self.repository.file(tip, FILE)

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
        answer = self._ask("GET", None)
        if answer.status_code == http.HTTPStatus.NOT_FOUND:
            return None
        self._check(answer)
        if len(answer.content) > MOST_BYTES:
            raise BoardError(f"{self.url}: {len(answer.content)} bytes are no verdict")
        return answer.text

    def write(self, document: str, message: str) -> None:  # noqa: ARG002 -- a branch has a history
        """PUT it."""
        self._check(self._ask("PUT", document))

    def _ask(self, method: str, content: str | None) -> httpx.Response:
        import httpx

        headers = {"Content-Type": "application/json"}
        if self.token.exists():
            headers["Authorization"] = f"Bearer {self.token.read_text().strip()}"
        try:
            return httpx.request(method, self.url, content=content, headers=headers, timeout=NETWORK_SECONDS)
        except httpx.HTTPError as error:
            raise BoardError(f"{self.url}: {error}", hint="look at gitops.canary.report") from None

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            raise BoardError(
                f"{self.url}: answers {answer.status_code} {answer.reason_phrase}",
                hint=f"it must take PUT and GET; a Bearer token for it stands in {self.token}",
            )
