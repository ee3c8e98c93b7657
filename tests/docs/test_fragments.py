"""Every piece of YAML on a page fits a stack."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from docs.pages import ROOT, Block, blocks
from genesis_stack.spec.load import loads

REFERENCE = yaml.safe_load((ROOT / "stack.yaml").read_text(encoding="utf-8"))


def merged(below: Any, above: Any) -> Any:
    """`above` laid over `below`, mapping by mapping; a model with weights of its own is another one."""
    if not (isinstance(below, dict) and isinstance(above, dict)) or "weights" in above:
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


@pytest.mark.parametrize(
    "block", [block for block in blocks("yaml") if block.how == "run"], ids=lambda block: block.place
)
def test_a_fragment_fits_the_reference_stack(block: Block) -> None:
    """Laid over it, the stack is still valid; a whole stack is so by itself."""
    fragment = yaml.safe_load(block.text)
    whole = fragment if "api_version" in fragment else merged(REFERENCE, fragment)
    loads(yaml.safe_dump(whole, allow_unicode=True), block.place)
