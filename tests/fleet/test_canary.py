"""The canary's verdict: read by who waits, and believed only when the canary has signed it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops.board import BoardError, UrlBoard
from genesis_stack.gitops.canary import KEY, NAMESPACE, BadVerdictError, Canary
from genesis_stack.gitops.repository import Repository
from genesis_stack.layout import Layout
from genesis_stack.process import run
from genesis_stack.spec.load import loads

REVISION, LATER = "a" * 40, "b" * 40
STACK = """
api_version: genesis.stack/v1
name: fleet
models:
  m:
    port: 8000
    weights: {{source: "file:///m.gguf", sha256: {digest}}}
    budget: {{memory: 1GiB, cpus: 1}}
hosts: {{alpha: {{}}, beta: {{}}}}
gitops: {{repository: "{url}", verify: {verify}, canary: {{host: alpha{report}}}}}
"""


@dataclass(frozen=True)
class Two:
    """The canary and a host that waits, each with its own tree and clone."""

    canary: Canary
    waiting: Canary
    signers: Path


def canary_of(folder: Path, here: str, url: str, *, verify: str = "strict", report: str = "") -> Canary:
    """The canary as a host of this name sees it."""
    report = f", report: '{report}'" if report else ""
    stack = loads(STACK.format(digest="a" * 64, url=url, verify=verify, report=report))
    repository = Repository(folder / here / "clone.git", url, "main")
    found = Canary.of(stack, here, repository, Layout.under(folder / here))
    assert found is not None
    return found


def key(path: Path) -> str:
    """Make a key pair and return the public key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path])
    return path.with_suffix(".pub").read_text().strip()


@pytest.fixture
def two(tmp_path: Path) -> Two:
    """A repository, a canary with its key, and a host that allows that key to vouch."""
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", tmp_path / "origin.git"])
    url = f"file://{tmp_path}/origin.git"
    public = key(Layout.under(tmp_path / "alpha").secrets / KEY)
    signers = Layout.under(tmp_path / "beta").config / "allowed_signers"
    signers.parent.mkdir(parents=True)
    signers.write_text(f'alpha namespaces="{NAMESPACE}" {public}\n')
    return Two(canary_of(tmp_path, "alpha", url), canary_of(tmp_path, "beta", url), signers)


def test_what_the_canary_publishes_the_others_read(two: Two) -> None:
    """Through a branch of the repository, which is there after the first verdict."""
    assert two.canary.leads
    assert not two.waiting.leads
    assert two.waiting.verdict_on(REVISION) is None
    two.canary.publish(REVISION, passed=True)
    verdict = two.waiting.verdict_on(REVISION)
    assert verdict is not None
    assert (verdict.passed, verdict.host, verdict.revision) == (True, "alpha", REVISION)


def test_a_verdict_holds_for_its_revision_alone(two: Two) -> None:
    """What passed yesterday says nothing of what was pushed today."""
    two.canary.publish(REVISION, passed=True)
    assert two.waiting.verdict_on(LATER) is None
    two.canary.publish(LATER, passed=False, reason="a promise does not hold")
    verdict = two.waiting.verdict_on(LATER)
    assert verdict is not None
    assert (verdict.passed, verdict.reason) == (False, "a promise does not hold")


def test_whoever_can_push_cannot_vouch(two: Two, tmp_path: Path) -> None:
    """A verdict by another key, or by none, is refused however it got onto the branch."""
    key(tmp_path / "stranger")
    replace(two.canary, key=tmp_path / "stranger").publish(REVISION, passed=True)
    with pytest.raises(BadVerdictError) as caught:
        two.waiting.verdict_on(REVISION)
    assert caught.value.exit_code is ExitCode.BAD_SIGNATURE
    replace(two.canary, signers=None).publish(REVISION, passed=True)
    with pytest.raises(BadVerdictError):
        two.waiting.verdict_on(REVISION)


def test_an_author_is_not_the_canary(two: Two, tmp_path: Path) -> None:
    """Who may sign commits is allowed under another name, and does not speak for the canary."""
    public = key(tmp_path / "author")
    with two.signers.open("a") as file:
        file.write(f"author@example.org {public}\n")
    replace(two.canary, key=tmp_path / "author").publish(REVISION, passed=True)
    with pytest.raises(BadVerdictError):
        two.waiting.verdict_on(REVISION)


def test_a_revoked_key_vouches_no_more(two: Two) -> None:
    """As for commits: the host's own list of revoked keys counts."""
    two.canary.publish(REVISION, passed=True)
    assert two.waiting.verdict_on(REVISION) is not None
    revoked = two.canary.key.with_suffix(".pub").read_text()
    two.signers.with_name("revoked_signers").write_text(revoked)
    with pytest.raises(BadVerdictError):
        two.waiting.verdict_on(REVISION)


@pytest.mark.parametrize("document", ["", "{}", "no JSON", '{"verdict": "{}", "signature": null}'])
def test_a_damaged_verdict_is_an_error_and_no_verdict(two: Two, document: str) -> None:
    """Whatever stands there, it releases nothing."""
    two.canary.board.write(document, "damaged")
    with pytest.raises(BadVerdictError):
        two.waiting.verdict_on(REVISION)


def test_a_canary_without_a_key_says_how_to_make_one(two: Two) -> None:
    """Nobody waits for a verdict that could not be signed without the operator being told."""
    two.canary.key.unlink()
    with pytest.raises(GenesisError) as caught:
        two.canary.publish(REVISION, passed=True)
    assert "ssh-keygen" in str(caught.value.hint)


def test_where_commits_are_not_verified_verdicts_are_not(tmp_path: Path, two: Two) -> None:
    """`verify: off` means the repository is trusted as it is."""
    url = f"file://{tmp_path}/origin.git"
    two.canary.key.unlink()
    canary_of(tmp_path, "alpha", url, verify="'off'").publish(REVISION, passed=True)
    verdict = canary_of(tmp_path, "beta", url, verify="'off'").verdict_on(REVISION)
    assert verdict is not None
    assert verdict.passed


class Kept(BaseHTTPRequestHandler):
    """Keeps one document, for whoever shows the token."""

    document: bytes | None = None

    def do_PUT(self) -> None:
        """Keep it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] == "Bearer open sesame":
            type(self).document = body
            self.send_response(204)
        else:
            self.send_response(401)
        self.end_headers()

    def do_GET(self) -> None:
        """Give it."""
        self.send_response(404 if self.document is None else 200)
        self.end_headers()
        self.wfile.write(self.document or b"")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server that does as the handler says."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/verdict.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def url() -> Iterator[str]:
    """A web server that takes PUT."""
    with serving(type("OwnKept", (Kept,), {})) as url:
        yield url


def test_a_url_does_as_well_as_a_branch(two: Two, tmp_path: Path, url: str) -> None:
    """The same document, under the same signature; the token of who writes stays on its host."""
    origin = f"file://{tmp_path}/origin.git"
    canary = canary_of(tmp_path, "alpha", origin, report=url)
    waiting = canary_of(tmp_path, "beta", origin, report=url)
    assert waiting.verdict_on(REVISION) is None
    with pytest.raises(BoardError, match="401"):
        canary.publish(REVISION, passed=True)
    assert isinstance(canary.board, UrlBoard)
    canary.board.token.write_text("open sesame\n")
    canary.publish(REVISION, passed=True)
    verdict = waiting.verdict_on(REVISION)
    assert verdict is not None
    assert verdict.passed
    canary.board.write('{"verdict": "{}", "signature": null}', "")
    with pytest.raises(BadVerdictError):
        waiting.verdict_on(REVISION)
    assert two.waiting.verdict_on(REVISION) is None


class Endless(BaseHTTPRequestHandler):
    """Gives as much as anybody takes."""

    def do_GET(self) -> None:
        """Until the other side has enough."""
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            while True:
                self.wfile.write(b"x" * 65_536)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_board_that_never_ends_is_left(tmp_path: Path) -> None:
    """After what a verdict may have; the rest is not taken to see how long it is."""
    with serving(Endless) as url:
        waiting = canary_of(tmp_path, "beta", f"file://{tmp_path}/origin.git", report=url)
        with pytest.raises(BoardError, match="no verdict"):
            waiting.verdict_on(REVISION)
