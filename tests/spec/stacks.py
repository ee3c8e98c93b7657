"""A small valid stack, and copies of it with single values changed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
DIGEST = "0" * 64
COMMITTED = [ROOT / "stack.yaml", *sorted(ROOT.glob("examples/*/stack.yaml"))]
SMALL = f"""\
api_version: genesis.stack/v1
name: small
models:
  a:
    port: 8000
    weights: {{source: hf://owner/repo/file.gguf, sha256: "{DIGEST}"}}
    budget: {{memory: 1GiB, cpus: 2}}
"""


def with_lines(lines: str) -> str:
    """The small stack with more lines at its end."""
    return SMALL + lines


def small() -> dict[str, Any]:
    """The small stack as data."""
    return {
        "api_version": "genesis.stack/v1",
        "name": "small",
        "models": {
            "a": {
                "port": 8000,
                "weights": {"source": "hf://owner/repo/file.gguf", "sha256": DIGEST},
                "budget": {"memory": "1GiB", "cpus": 2},
            }
        },
    }


@st.composite
def changed(draw: st.DrawFn, content: dict[str, Any], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """The content with up to three of its values, at any depth, replaced, removed or joined by another."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        part: Any = content
        while True:
            key = draw(st.sampled_from(sorted(part) if isinstance(part, dict) else list(range(len(part)))))
            if not isinstance(part[key], dict | list) or not part[key] or draw(st.booleans()):
                break
            part = part[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                part[key] = draw(values)
            case "remove" if isinstance(part, dict) and len(part) > 1:
                del part[key]
            case _ if isinstance(part, dict):
                part[draw(st.text(max_size=8))] = draw(values)
    return content
