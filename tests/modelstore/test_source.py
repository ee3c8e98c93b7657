from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from huggingface_hub import hf_hub_url
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from genesis_stack.modelstore.source import (
    FileSource,
    HfSource,
    HttpSource,
    PypiSource,
    Source,
    SourceError,
    parse_source,
)
from genesis_stack.spec import locations
from genesis_stack.spec.files import Weights

DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf://owner/repo/file.gguf", HfSource("owner/repo", "file.gguf", "main")),
        ("hf://owner/repo/dir/file.gguf@v1.0", HfSource("owner/repo", "dir/file.gguf", "v1.0")),
        ("https://host:8443/a/b.gguf?x=1", HttpSource("https://host:8443/a/b.gguf?x=1")),
        ("file:///srv/a%20b.gguf", FileSource(Path("/srv/a b.gguf"))),
        ("file:///srv/100%25%2B.gguf", FileSource(Path("/srv/100%+.gguf"))),
        ("file:///srv/%FF.gguf", FileSource(Path(os.fsdecode(b"/srv/\xff.gguf")))),
        ("hf://_a/b/c.gguf", HfSource("_a/b", "c.gguf", "main")),
        ("pypi://some-model==0.1.2/pkg/m.gguf", PypiSource("some-model", "0.1.2", "pkg/m.gguf")),
    ],
)
def test_each_kind_of_source_is_read(text: str, source: Source) -> None:
    """Every documented way of writing a source gives its parts."""
    assert parse_source(text) == source


def test_the_revision_beside_a_hub_source_counts() -> None:
    """`revision` pins the file when the source itself names none."""
    assert parse_source("hf://owner/repo/f.gguf", "abc123") == HfSource("owner/repo", "f.gguf", "abc123")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model.gguf",
        "ftp://host/file",
        "hf://owner/file.gguf",
        "hf://owner/repo/../other/file",
        "hf://owner/repo/file@../../x",
        "hf://-o/repo/file",
        "hf://a--b/repo/file",
        "hf://owner/repo.git/file",
        "hf://owner/repo/dir/",
        f"hf://owner/repo/file@{'a' * 101}",
        "https:///file",
        "https://host/",
        "https://host//",
        "https://host/?x",
        "https://host:99999/file",
        "https://host:0/file",
        "https://999.1.1.1/file",
        "https://a..b/file",
        "https://[broken/file",
        "file://relative/path",
        "file://localhost/srv/b.gguf",
        "file:///srv//b",
        "file:///srv/b?c",
        "file:///srv/a%2fb",
        "file:///srv/../etc/shadow",
        "file:///srv/%2e%2e/etc/shadow",
        "file:///srv/a%00b",
        "file:///",
        "pypi://package/file",
        "pypi://package==1.0",
        "pypi://package==1.0/../../etc/passwd",
        "pypi://package==1.0//etc/passwd",
        "pypi://package==1.0/x//y",
        "pypi://--index-url==1/x",
        "https://host/a\nb",
        "hf://owner/repo\\file/x",
    ],
)
def test_what_is_no_source_is_refused_with_a_way_to_write_one(text: str) -> None:
    """Escapes, options and half sources give a SourceError with a hint, never a file."""
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert "hf://" in str(caught.value.hint)
    with pytest.raises(ValidationError):
        Weights(source=text, sha256=DIGEST)


@pytest.mark.parametrize(
    "way", [locations.HUB, f"https{locations.WEB}", locations.FILE, locations.WHEEL], ids=lambda way: way[:5]
)
@given(data=st.data())
def test_what_a_stack_may_say_can_be_fetched(way: str, data: st.DataObject) -> None:
    """Its parts are those that the hub's library, the HTTP client and the file system take."""
    text = data.draw(st.from_regex(way, fullmatch=True))
    match parse_source(Weights(source=text, sha256=DIGEST).source):
        case HfSource() as source:
            assert hf_hub_url(source.repo, source.path, revision=source.revision)
        case HttpSource() as source:
            assert httpx.URL(source.url).host.encode("idna")
        case FileSource() as source:
            assert source.path.is_absolute()
            assert parse_source(str(source)) == source
        case PypiSource() as source:
            assert str(source) == text


def test_two_different_revisions_are_refused() -> None:
    """A source that contradicts the field beside it is an error, not a guess."""
    with pytest.raises(SourceError):
        parse_source("hf://owner/repo/file@one", "two")


def test_a_password_in_a_url_is_never_shown() -> None:
    """A source has no place for one, and the message that says so masks it."""
    for scheme in ("https", "ftp"):
        with pytest.raises(SourceError) as caught:
            parse_source(f"{scheme}://user:secret@host/file")
        assert "secret" not in str(caught.value)
