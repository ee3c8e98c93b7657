"""Model files: where each comes from and what it must hash to."""

from __future__ import annotations

from pydantic import Field

from genesis_stack.spec.fields import Digest, Frozen
from genesis_stack.spec.locations import WAYS, Revision, Source
from genesis_stack.spec.units import ByteSize


class Weights(Frozen):
    """One model file (GGUF)."""

    source: Source = Field(description=f"Where the file comes from: {WAYS}.")
    sha256: Digest = Field(description="What the file must hash to; nothing else is ever loaded.")
    revision: Revision | None = Field(
        default=None,
        description="Commit of the hf:// repository; pinned, the file can never change under it.",
    )
    size: ByteSize | None = Field(
        default=None,
        gt=0,
        description="Exact size in bytes; known, disk space and memory are checked before a download.",
    )


class Adapter(Weights):
    """One LoRA adapter (GGUF), requested as `model:adapter`."""

    scale: float = Field(
        default=1.0, ge=-100, le=100, description="Strength of the adapter; 1 is as trained."
    )
