from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.modelstore.source import (
    FileSource,
    HfSource,
    HttpSource,
    PypiSource,
    Source,
    SourceError,
    parse_source,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf://owner/repo/file.gguf", HfSource("owner/repo", "file.gguf", "main")),
        ("hf://owner/repo/dir/file.gguf@v1.0", HfSource("owner/repo", "dir/file.gguf", "v1.0")),
        ("https://host:8443/a/b.gguf?x=1", HttpSource("https://host:8443/a/b.gguf?x=1")),
        ("file:///srv/a%20b.gguf", FileSource(Path("/srv/a b.gguf"))),
        ("file://localhost/srv/b.gguf", FileSource(Path("/srv/b.gguf"))),
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
        "https:///file",
        "https://host/",
        "https://host:99999999/file",
        "https://[broken/file",
        "file://relative/path",
        "file:///srv/../etc/shadow",
        "file:///srv/%2e%2e/etc/shadow",
        "file:///srv/a%00b",
        "file:///",
        "pypi://package/file",
        "pypi://package==1.0",
        "pypi://package==1.0/../../etc/passwd",
        "pypi://package==1.0//etc/passwd",
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


def test_two_different_revisions_are_refused() -> None:
    """A source that contradicts the field beside it is an error, not a guess."""
    with pytest.raises(SourceError):
        parse_source("hf://owner/repo/file@one", "two")


def test_a_password_in_a_url_is_never_shown() -> None:
    """The user part of a URL is masked wherever a source is printed."""
    assert "secret" not in str(parse_source("https://user:secret@host/file"))
    with pytest.raises(SourceError) as caught:
        parse_source("ftp://user:secret@host/file")
    assert "secret" not in str(caught.value)
