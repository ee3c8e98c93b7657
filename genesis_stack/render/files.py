"""What rendering takes beside the stack, and what it gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Self

import genesis_stack
from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store
from genesis_stack.protocol.serve_config import AdapterRef, FileRef
from genesis_stack.spec.model import Model, Stack, Weights


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """One file as it must stand on the target host.

    `path` is absolute there, `mode` holds the permission bits, `owner` is the name of a user of that host,
    or empty for whoever runs the tool.
    """

    path: PurePosixPath
    content: str
    mode: int
    owner: str

    def __post_init__(self) -> None:
        if not self.path.is_absolute():
            raise ValueError(f"{self.path}: a rendered file needs an absolute path")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model files that one model is rendered with; verified ones when the model store gave them."""

    weights: FileRef
    projector: FileRef | None = None
    draft: FileRef | None = None
    adapters: Mapping[str, AdapterRef] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, ref: Callable[[Weights], FileRef]) -> Self:
        """The files of a model, each where `ref` says that it is."""
        adapters = {
            name: AdapterRef(**ref(adapter).model_dump(), scale=adapter.scale)
            for name, adapter in model.adapters.items()
        }
        projector = ref(model.projector) if model.projector else None
        draft = ref(model.draft) if model.draft else None
        return cls(ref(model.weights), projector, draft, adapters)

    @property
    def files(self) -> tuple[FileRef, ...]:
        """Every file that the server opens."""
        optional = (file for file in (self.projector, self.draft) if file is not None)
        return (self.weights, *optional, *self.adapters.values())


def as_declared(
    stack: Stack, layout: Layout, size: Callable[[Weights], int | None] = lambda weights: weights.size
) -> Mapping[str, ResolvedModel]:
    """Every model as the stack declares it, at its place in the store, whether or not it is there.

    `size` says how large a file is, if that is known.
    """

    def ref(weights: Weights) -> FileRef:
        path = Store(layout.models).path(weights.sha256)
        return FileRef(path=str(path), sha256=weights.sha256, size=size(weights))

    return {name: ResolvedModel.of(model, ref) for name, model in stack.models.items()}


SYSTEM: Final = PurePosixPath("/usr")
"""What every confined server can read anyway, a Python of the system's own among it."""
INSTALLED_PACKAGE: Final = PurePosixPath("/opt/genesis-stack/venv/lib/python3.11/site-packages/genesis_stack")
"""Where the installation guide puts our own modules, on Debian 12's Python."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The Python environment that the servers run in.

    `prefix` is the virtual environment with `bin/genesis-serve`. `readable` are the further directories
    that it needs: those of the interpreter it hangs from and, in a development install, the source tree.
    `package` is the directory of our own modules.
    """

    prefix: PurePosixPath
    readable: tuple[PurePosixPath, ...] = ()
    package: PurePosixPath = INSTALLED_PACKAGE

    @classmethod
    def this(cls) -> Self:
        """The environment that this very process runs in."""
        prefix = PurePosixPath(sys.prefix)
        package = PurePosixPath(Path(genesis_stack.__file__).resolve().parent)
        wanted = dict.fromkeys((PurePosixPath(sys.base_prefix), package.parent))
        known = (prefix, SYSTEM)
        return cls(prefix, tuple(one for one in wanted if not any(map(one.is_relative_to, known))), package)

    @property
    def genesis_serve(self) -> PurePosixPath:
        """The program of every server."""
        return self.prefix / "bin/genesis-serve"

    @property
    def directories(self) -> tuple[PurePosixPath, ...]:
        """Everything that a confined server must be able to read, outside of the system's own."""
        return (self.prefix, *self.readable)


INSTALLED: Final = Runtime(PurePosixPath("/opt/genesis-stack/venv"))
"""Where the installation guide puts the environment, on the system's own Python."""
