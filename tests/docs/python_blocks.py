"""Runs the Python of pages as a notebook would: one namespace a page, `await` where it stands.

    python python_blocks.py < [{"page", "place", "code"}, …]

Prints a JSON object, from the place of each block that failed to its traceback.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
import traceback
from collections import defaultdict
from types import CodeType
from typing import Any, Final

PATIENCE: Final = 60.0
"""Seconds for one block."""

GIVEN: Final = """
from genesis_stack.client import LocalLLMClient

prompt = "Name three colours."
prompts = [prompt, "Say hello."]
messages = [{"role": "user", "content": prompt}]
client = await LocalLLMClient.from_stack("stack.yaml").__aenter__()
"""
"""What each block finds, as its readers have it."""


def compiled(code: str, place: str) -> CodeType:
    """The code, with `await` allowed outside of functions."""
    return compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def run(code: CodeType, names: dict[str, Any]) -> None:
    """One block in its page's namespace."""
    result = eval(code, names)  # noqa: S307 -- this is what the program is for
    if inspect.iscoroutine(result):
        await result


async def main() -> dict[str, str]:
    """All blocks in order."""
    failed: dict[str, str] = {}
    given: dict[str, Any] = {}
    await run(compiled(GIVEN, "given"), given)
    pages: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for block in json.load(sys.stdin):
        names = pages[block["page"]]
        names |= given
        try:
            await asyncio.wait_for(run(compiled(block["code"], block["place"]), names), PATIENCE)
        except Exception:  # noqa: BLE001 -- told to whoever asked
            failed[block["place"]] = traceback.format_exc()
    await given["client"].close()
    return failed


if __name__ == "__main__":
    outcome = asyncio.run(main())
    sys.stdout.write("\n" + json.dumps(outcome))
