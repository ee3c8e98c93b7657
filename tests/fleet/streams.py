"""Runs on a host of the fleet's network: streams chats through a gateway, and tells how each one ended.

Arguments: URL of the gateway, streams at a time, tokens of each. The key is the first line of standard input,
a second line ends it. A stream that broke is asked for again; its answer then counts as repeated.
"""

import asyncio
import json
import sys
from collections import Counter

from genesis_stack.client import LocalLLMClient, StreamInterruptedError

URL, STREAMS, TOKENS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def stream(client: LocalLLMClient, number: int) -> None:
    """Stream one answer to its end."""
    question = [{"role": "user", "content": f"Count from {number} upwards, in words."}]
    async with client.stream(question, model="smol", max_tokens=TOKENS) as answer:
        async for _ in answer:
            pass


async def work(client: LocalLLMClient, ends: Counter[str], stop: asyncio.Event, number: int) -> None:
    """One stream after another."""
    again = False
    while not stop.is_set() or again:
        try:
            await stream(client, number)
        except StreamInterruptedError as error:
            ends[type(error).__name__] += 1
            again = True
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test is told
            ends[f"{type(error).__name__}: {error}"] += 1
            return
        else:
            ends["repeated" if again else "answered"] += 1
            again = False


async def main() -> None:
    """Until told to stop."""
    key, stop, ends = sys.stdin.readline().strip(), asyncio.Event(), Counter[str]()
    async with LocalLLMClient(endpoints=URL, api_key=key) as client:
        work_done = asyncio.gather(*(work(client, ends, stop, number) for number in range(STREAMS)))
        await asyncio.to_thread(sys.stdin.readline)
        stop.set()
        await work_done
    print(json.dumps(ends))  # noqa: T201 -- its output


if __name__ == "__main__":
    asyncio.run(main())
