"""What is measured: one model of a stack, with its own weights or with random ones of the same shape."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genesis_stack.capacity.synthetic import SHAPES, Shape, write_model
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore import memory
from genesis_stack.modelstore.facts import Facts, read_facts
from genesis_stack.modelstore.gguf_header import GgufError
from genesis_stack.modelstore.host import read_host
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.modelstore.local import regular
from genesis_stack.modelstore.modelfile import opened
from genesis_stack.modelstore.progress import progress
from genesis_stack.modelstore.quantity import show_size
from genesis_stack.modelstore.store import HEADROOM, Store
from genesis_stack.spec.model import EngineSettings, Model, Stack
from genesis_stack.spec.problems import did_you_mean

GENERATING: Final = frozenset({"text", "vision"})
VOCABULARY_BYTES: Final = 16 * 2**20
"""What a synthetic file takes beside its weights, at most."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and the file that it is measured with; `synthetic` names the shape of random weights."""

    name: str
    model: Model
    path: Path
    facts: Facts
    synthetic: str | None

    def needs(self, engine: EngineSettings) -> int:
        """Bytes of memory that it takes with these settings, as text alone."""
        shapes = {self.model.weights.sha256: memory.Shape(self.facts, estimated=False)}
        update: dict[str, Any] = {
            "engine": engine,
            "projector": None,
            "draft": None,
            "adapters": {},
            "task": "text",
        }
        return memory.total(self.model.model_copy(update=update), shapes)

    def fits(self, engine: EngineSettings) -> bool:
        """Whether it stays inside its memory budget with these settings."""
        return self.needs(engine) <= self.model.budget.memory


def choose(stack: Stack, wanted: str | None, synthetic: str | None) -> str:
    """The model of the stack that is meant: by name, by the shape of its weights, or as the only one.

    Raises:
        GenesisError: there is no such model, several to choose from, or one that generates no text.
    """
    able = [name for name, model in stack.models.items() if model.task in GENERATING]
    if wanted is None and synthetic is not None:
        shape = SHAPES[synthetic]
        able = [name for name in able if _is_of(stack.models[name], shape)] or able
    if wanted is None and len(able) == 1:
        return able[0]
    names = ", ".join(able) or "none"
    if wanted is None:
        raise GenesisError(
            "which model?", hint=f"name it with --model; there are: {names}", exit_code=ExitCode.USAGE
        )
    if wanted not in stack.models:
        hint = did_you_mean(wanted, stack.models) or f"there are: {names}"
        raise GenesisError(f"the stack has no model {wanted!r}", hint=hint, exit_code=ExitCode.USAGE)
    if wanted not in able:
        task = stack.models[wanted].task
        what = f"{wanted} is a model for {task}: what is measured here is how fast text is generated"
        raise GenesisError(what, hint="`genesis-stack load` measures it", exit_code=ExitCode.USAGE)
    return wanted


def stored(name: str, model: Model, layout: Layout) -> Subject:
    """A model with its own weights.

    Raises:
        GenesisError: they are not in the store.
    """
    weights, store = model.weights, Store(layout.models)
    if not store.verified(weights.sha256):
        shape = next((one for one in SHAPES.values() if _is_of(model, one)), None)
        ways = ["`genesis-stack models pull` fetches them"]
        if shape is not None:
            ways.append(f"--synthetic {shape.name} measures the same shape without a download")
        raise GenesisError(f"the weights of {name} are not in {layout.models}", hint=", or ".join(ways))
    file = opened(store, weights.sha256, weights.size, name)
    subject = Subject(name, model, file.path, file.facts, None)
    _check_memory(subject)
    return subject


@contextmanager
def stand_in(name: str, model: Model, shape: Shape, folder: Path, *, keep: bool | None) -> Iterator[Subject]:
    """The same model with random weights of this shape, below `folder`.

    `keep` says whether the file stays afterwards; None leaves what was there before, and nothing else.

    Raises:
        GenesisError: there is too little memory or disk for it.
    """
    path = folder / f"{shape.name}.gguf"
    there = _is_complete(path, shape)
    try:
        if not there:
            _write(shape, path)
        subject = Subject(name, model, path, _facts(path), shape.name)
        _check_memory(subject)
        yield subject
    finally:
        if keep is False or (keep is None and not there):
            path.unlink(missing_ok=True)


def free_memory() -> int:
    """Bytes that can be had without anything being written to swap, inside our limits (proc_meminfo(5))."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min(available, read_host().memory)


def _is_of(model: Model, shape: Shape) -> bool:
    """Whether the declared weights are known to have this shape."""
    known = KNOWN.get(model.weights.sha256)
    if known is None:
        return False
    declared = (known.architecture, known.layers, known.embedding, known.feed_forward, known.vocab)
    return declared == (
        shape.architecture,
        shape.layers,
        shape.embedding,
        shape.feed_forward,
        shape.vocabulary,
    )


def _is_complete(path: Path, shape: Shape) -> bool:
    """Whether an earlier run left the file; it gets its name when it is whole."""
    if not path.is_file():
        return False
    try:
        facts = _facts(path)
    except GgufError:
        return False
    return facts.name == shape.title and facts.tensor_bytes == shape.tensor_bytes


def _facts(path: Path) -> Facts:
    with regular(path) as descriptor:
        return read_facts(descriptor, str(path))


def _write(shape: Shape, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = shape.tensor_bytes + VOCABULARY_BYTES + HEADROOM, shutil.disk_usage(path.parent).free
    if free < needed:
        raise GenesisError(
            f"{path.parent}: a file of the shape of {shape.name} needs {show_size(needed)}, "
            f"{show_size(free)} are free",
            hint="name another place with --folder",
        )
    with progress(f"writing random weights of the shape of {shape.name}", shape.tensor_bytes) as advance:
        write_model(shape, path, advance=advance)


def _check_memory(subject: Subject) -> None:
    needed, free = subject.needs(subject.model.engine), free_memory()
    if free < needed:
        raise GenesisError(
            f"{subject.name} needs {show_size(needed)} of memory with its settings, "
            f"{show_size(free)} are free",
            hint="stop other programs (`genesis-stack down`), lower engine.context or engine.parallel, "
            "or measure on a larger machine",
        )
