"""What is measured, and when that is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from capacity.shapes import TINY
from genesis_stack.capacity import subject
from genesis_stack.capacity.subject import choose, stand_in, stored
from genesis_stack.capacity.synthetic import SHAPES, vocabulary
from genesis_stack.cli.bench import SHAPE_NAMES
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.spec.load import load
from genesis_stack.spec.model import Model, Stack

REFERENCE = load(Path(__file__).parents[2] / "stack.yaml")


@pytest.fixture(autouse=True)
def _small_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few merges: to learn them all takes a second a file."""
    monkeypatch.setattr(vocabulary, "_TRAINED_MERGES", 50)


@pytest.fixture
def model() -> Model:
    """A model with a small context."""
    weights = {"source": "file:///nowhere", "sha256": "0" * 64}
    engine = {"context": 256, "parallel": 2}
    budget = {"memory": "1GiB", "cpus": 2}
    return Model.model_validate({"port": 8000, "weights": weights, "engine": engine, "budget": budget})


def test_the_shape_finds_its_model() -> None:
    """Of several models the one whose weights have that shape is meant."""
    assert choose(REFERENCE, None, "llama-3.1-8b") == "llama-3-1-8b"
    assert choose(REFERENCE, None, "qwen3-vl-4b") == "qwen3-vl-4b"
    assert choose(REFERENCE, "qwen3-vl-4b", "llama-3.1-8b") == "qwen3-vl-4b"


def test_a_model_that_is_not_clear_is_asked_for(model: Model) -> None:
    """Several, a misspelt one, one that generates nothing: a wrong command line, with the way out."""
    embedding = model.model_copy(update={"task": "embedding"})
    stack = Stack(api_version="genesis.stack/v1", name="s", models={"talk": model, "search": embedding})
    assert choose(stack, None, None) == "talk"
    for wanted, among in ((None, REFERENCE), ("tolk", stack), ("search", stack)):
        with pytest.raises(GenesisError) as refused:
            choose(among, wanted, None)
        assert refused.value.exit_code is ExitCode.USAGE
        assert refused.value.hint


def test_the_shapes_are_those_of_the_published_models() -> None:
    """In what decides memory and speed, to a thousandth; and the command line knows them all."""
    assert sorted(SHAPES) == sorted(SHAPE_NAMES)
    for name, model in (("llama-3.1-8b", "llama-3-1-8b"), ("qwen3-vl-4b", "qwen3-vl-4b")):
        known = KNOWN[REFERENCE.models[model].weights.sha256]
        assert SHAPES[name].tensor_bytes == pytest.approx(known.tensor_bytes, rel=1e-3)


def test_weights_that_are_not_here_are_not_downloaded(tmp_path: Path) -> None:
    """It says how to have them, and how to do without."""
    with pytest.raises(GenesisError) as refused:
        stored("llama-3-1-8b", REFERENCE.models["llama-3-1-8b"], Layout.under(tmp_path))
    assert "models pull" in str(refused.value.hint)
    assert "--synthetic llama-3.1-8b" in str(refused.value.hint)


def test_the_file_stays_or_goes_as_wished(tmp_path: Path, model: Model) -> None:
    """What was written goes, what was there stays, unless told otherwise; and it is not written twice."""
    file = tmp_path / "tiny.gguf"
    with stand_in("m", model, TINY, tmp_path, keep=None) as found:
        assert found.facts.tensor_bytes == TINY.tensor_bytes
    assert not file.exists()
    with stand_in("m", model, TINY, tmp_path, keep=True):
        written = file.stat()
    with stand_in("m", model, TINY, tmp_path, keep=None):
        assert file.stat().st_ino == written.st_ino
    assert file.exists()
    with stand_in("m", model, TINY, tmp_path, keep=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_written_again(tmp_path: Path, model: Model) -> None:
    """Whatever stands in its place is not measured."""
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF but not really")
    with stand_in("m", model, TINY, tmp_path, keep=None) as found:
        assert found.facts.name == TINY.title


def test_too_little_disk_is_told_before_anything_is_written(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how much is needed and how much there is."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(GenesisError, match="5 B are free"), stand_in("m", model, TINY, tmp_path, keep=None):
        pytest.fail("it went on")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_told_and_the_file_goes(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model does not begin to run where it would drive the machine into its swap."""
    monkeypatch.setattr(subject, "free_memory", lambda: 2**20)
    with pytest.raises(GenesisError, match="of memory"), stand_in("m", model, TINY, tmp_path, keep=None):
        pytest.fail("it went on")
    assert list(tmp_path.iterdir()) == []
