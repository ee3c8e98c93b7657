from __future__ import annotations

import os
from pathlib import Path

import pytest

from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout
from genesis_stack.modelstore import store as store_module
from genesis_stack.modelstore.faults import ChecksumError, DiskError, FetchError
from genesis_stack.modelstore.gguf_header import GgufError
from genesis_stack.modelstore.modelfile import ensure, import_file
from genesis_stack.modelstore.store import Store
from genesis_stack.spec.model import Weights

WRONG = "0" * 64


@pytest.fixture
def source(tmp_path: Path, tiny_gguf: bytes) -> Path:
    """The tiny model as a file somewhere."""
    path = tmp_path / "tiny model.gguf"
    path.write_bytes(tiny_gguf)
    return path


def weights(path: Path, digest: str, size: int | None = None) -> Weights:
    """A declaration of a local file."""
    return Weights(source=f"file://{path}".replace(" ", "%20"), sha256=digest, size=size)


def digest_of(content: bytes) -> str:
    """SHA-256 in hex."""
    import hashlib

    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that get hashed, in order."""
    names: list[str] = []
    real = store_module.sha256

    def spy(descriptor: int, what: str) -> str:
        names.append(what)
        return real(descriptor, what)

    monkeypatch.setattr(store_module, "sha256", spy)
    return names


def test_an_unchanged_file_is_not_hashed_again(source: Path, layout: Layout, hashed: list[str]) -> None:
    """Inode, size, mtime and ctime stand for the content until one of them changes."""
    declared = weights(source, digest_of(source.read_bytes()))
    for _ in range(3):
        ensure(declared, layout)
    assert len(hashed) == 1


def test_a_file_that_others_may_write_is_closed_again(source: Path, layout: Layout) -> None:
    """A mode that somebody lifted is put back with the next look at the bytes."""
    declared = weights(source, digest_of(source.read_bytes()))
    stored = ensure(declared, layout).path
    stored.chmod(0o666)
    ensure(declared, layout)
    assert stored.stat().st_mode & 0o777 == 0o444


def test_deep_hashes_an_unchanged_file(source: Path, layout: Layout, hashed: list[str]) -> None:
    """`deep` trusts nothing but the bytes."""
    declared = weights(source, digest_of(source.read_bytes()))
    ensure(declared, layout)
    ensure(declared, layout, deep=True)
    assert len(hashed) == 2


def test_a_touched_file_is_hashed_again(source: Path, layout: Layout, hashed: list[str]) -> None:
    """Another mtime or ctime is reason enough."""
    declared = weights(source, digest_of(source.read_bytes()))
    os.utime(ensure(declared, layout).path, ns=(1, 1))
    ensure(declared, layout)
    assert len(hashed) == 2


def test_a_wrong_digest_is_quarantined_and_never_a_model(source: Path, layout: Layout) -> None:
    """Exit 65, both digests in the message, the file out of the way."""
    actual = digest_of(source.read_bytes())
    with pytest.raises(ChecksumError) as caught:
        ensure(weights(source, WRONG), layout)
    assert caught.value.exit_code is ExitCode.CHECKSUM
    assert WRONG in str(caught.value)
    assert actual in str(caught.value)
    assert [path.name for path in (layout.models / "quarantine").iterdir()] == [f"{WRONG}.is.{actual}"]
    assert Store(layout.models).digests() == []


def test_a_damaged_file_is_quarantined_while_a_server_reads_on(source: Path, layout: Layout) -> None:
    """Whoever has the file open keeps it; nobody new gets it."""
    declared = weights(source, digest_of(source.read_bytes()))
    path = ensure(declared, layout).path
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("rb") as server:
        path.write_bytes(content)
        with pytest.raises(ChecksumError):
            ensure(declared, layout)
        assert server.read() == bytes(content)
    assert not path.exists()
    ensure(declared, layout)  # fetched anew


def test_a_wrong_declared_size_is_refused(source: Path, layout: Layout) -> None:
    """Also when the digest is right and the file is in the store already."""
    digest = digest_of(source.read_bytes())
    with pytest.raises(ChecksumError):
        ensure(weights(source, digest, size=5), layout)
    ensure(weights(source, digest), layout)
    with pytest.raises(ChecksumError) as caught:
        ensure(weights(source, digest, size=5), layout)
    assert "write `size:" in str(caught.value.hint)


def test_a_declared_file_that_is_no_model_is_an_error(tmp_path: Path, layout: Layout) -> None:
    """The right bytes of the wrong kind of file."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"hello")
    with pytest.raises(GgufError) as caught:
        ensure(weights(path, digest_of(b"hello")), layout)
    assert caught.value.exit_code is ExitCode.CHECKSUM


def test_symbolic_links_are_followed_to_a_file(source: Path, layout: Layout, tmp_path: Path) -> None:
    """The cache folders of other tools are full of links; the digest decides."""
    link = tmp_path / "link.gguf"
    link.symlink_to(source)
    file = ensure(weights(link, digest_of(source.read_bytes())), layout)
    assert not file.path.is_symlink()


def test_the_store_has_a_copy_and_not_the_users_file(source: Path, layout: Layout) -> None:
    """Who changes the original afterwards does not change the model."""
    declared = weights(source, digest_of(source.read_bytes()))
    path = ensure(declared, layout).path
    source.write_bytes(b"changed")
    assert path.stat().st_nlink == 1
    ensure(declared, layout, deep=True)


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "loop", "device"])
def test_what_is_no_regular_file_is_refused(kind: str, tmp_path: Path, layout: Layout) -> None:
    """Neither a hang on a pipe nor a copy of /dev/zero."""
    path = tmp_path / "thing"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "device":
            path.symlink_to("/dev/zero")
    with pytest.raises(FetchError):
        ensure(weights(path, WRONG), layout)


def test_a_link_in_place_of_a_model_is_not_trusted(source: Path, layout: Layout) -> None:
    """A model is a file of the store itself."""
    declared = weights(source, digest_of(source.read_bytes()))
    path = ensure(declared, layout).path
    path.unlink()
    path.symlink_to(source)
    with pytest.raises(FetchError):
        ensure(declared, layout)


def test_a_store_that_cannot_be_made_is_an_error(source: Path, tmp_path: Path) -> None:
    """A path component that is a file gives a message with that path."""
    (tmp_path / "root").write_text("in the way")
    with pytest.raises(DiskError, match="root"):
        ensure(weights(source, digest_of(source.read_bytes())), Layout.under(tmp_path / "root"))


def test_an_imported_file_needs_no_source(source: Path, layout: Layout) -> None:
    """A machine without network gets its models by hand."""
    digest = digest_of(source.read_bytes())
    assert import_file(source, layout).digest == digest
    unreachable = Weights(source="hf://owner/repo/file.gguf", sha256=digest)
    assert ensure(unreachable, layout).digest == digest


def test_an_imported_file_must_be_a_model(tmp_path: Path, layout: Layout) -> None:
    """Not every file may come into the store."""
    (tmp_path / "x").write_bytes(b"GGUF but not really")
    with pytest.raises(GgufError):
        import_file(tmp_path / "x", layout)
    assert Store(layout.models).digests() == []


def test_damaged_notes_are_no_proof(source: Path, layout: Layout) -> None:
    """A stamp or facts that cannot be read are made again."""
    declared = weights(source, digest_of(source.read_bytes()))
    first = ensure(declared, layout)
    for folder in ("stamps", "facts"):
        for note in (layout.models / folder).iterdir():
            note.write_text('{"inode": ')
    assert ensure(declared, layout) == first
