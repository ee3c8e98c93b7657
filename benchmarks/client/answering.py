"""A server that answers a chat at once, whole or as a stream of many tokens; it prints its address."""

from __future__ import annotations

import asyncio
import json

from benchmarks.client.overhead import TOKENS


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "system_fingerprint": "fp_0123456789ab",
        "choices": [choice],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


_MESSAGE = {"role": "assistant", "content": "Hello."}
_WHOLE = json.dumps({"choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}]}).encode()
_PIECE = _event({"content": " token"})
_LAST = _event({}, "stop") + b"data: [DONE]\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = head.lower().split(b"content-length: ")[1]
            body = await reader.readexactly(int(fields.split(b"\r\n")[0]))
            if json.loads(body).get("stream"):
                await _stream(writer)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(f"content-length: {len(_WHOLE)}\r\n\r\n".encode() + _WHOLE)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _stream(writer: asyncio.StreamWriter) -> None:
    """One chunk a token, each on its way before the next is made, as from a model."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(TOKENS):
        writer.write(_chunk(_PIECE))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(_chunk(_LAST) + b"0\r\n\r\n")
    await writer.drain()


async def main() -> None:
    """Serve until terminated."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
