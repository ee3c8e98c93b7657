"""Runs on a host of the fleet's network: streams chats through a gateway, and tells how each one ended.

Arguments: URL of the gateway, streams at a time, tokens of each. The key is the first line of standard input,
a second line ends it. When every stream has brought its first token, that is told by a line. A stream that
broke is asked for again; its answer then counts as repeated. The last line is how the streams ended, as JSON.
"""

import asyncio
import json
import sys
from collections import Counter

from genesis_stack.client import LocalLLMClient, StreamInterruptedError

ENDLESS = {"0": -100, "2": -100}
"""Keeps SmolLM2 from ending its answer before it has all its tokens."""
URL, STREAMS, TOKENS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def stream(client: LocalLLMClient, begun: set[int], number: int) -> None:
    """Stream one answer to its end."""
    question = [{"role": "user", "content": f"Count from {number} upwards, in words."}]
    options = {"model": "smol", "max_tokens": TOKENS, "logit_bias": ENDLESS}
    async with client.stream(question, **options) as answer:
        async for _ in answer:
            if number not in begun:
                begun.add(number)
                if len(begun) == STREAMS:
                    print("begun", flush=True)  # noqa: T201 -- its output


async def work(
    client: LocalLLMClient, begun: set[int], ends: Counter[str], stop: asyncio.Event, number: int
) -> None:
    """One stream after another."""
    again = False
    while not stop.is_set() or again:
        try:
            await stream(client, begun, number)
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
    begun: set[int] = set()
    async with LocalLLMClient(endpoints=URL, api_key=key) as client:
        work_done = asyncio.gather(*(work(client, begun, ends, stop, number) for number in range(STREAMS)))
        await asyncio.to_thread(sys.stdin.readline)
        stop.set()
        await work_done
    print(json.dumps(ends))  # noqa: T201 -- its output


if __name__ == "__main__":
    asyncio.run(main())
