"""Runs on the host and makes HTTP requests to its own servers; prints the answers as JSON.

The one argument is a JSON object: name of a request -> {address, port, method, path, headers, body, filler}.
`filler` is a number of bytes that are sent as the body instead. Requests of one port follow each other,
those of several ports run at the same time. The answer maps each name to {status, headers, body}, or to
{error}.
"""

import contextlib
import http.client
import json
import sys
import threading
from typing import Any

SECONDS = 60
KEPT = 16_384
"""Bytes of a body that are told."""


def ask(wanted: dict[str, Any]) -> dict[str, Any]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(wanted["address"], wanted["port"], timeout=SECONDS)
    body = b" " * wanted["filler"] if wanted.get("filler") else (wanted.get("body") or "").encode()
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.request(wanted["method"], wanted["path"], body or None, wanted["headers"])
        answer = connection.getresponse()
        text = answer.read(KEPT).decode(errors="replace")
        headers = {name.lower(): value for name, value in answer.getheaders()}
    except (OSError, http.client.HTTPException) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    else:
        return {"status": answer.status, "headers": headers, "body": text}
    finally:
        connection.close()


def ask_all(requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every request, those of one port in their order."""
    answers: dict[str, dict[str, Any]] = {}

    def work(port: int) -> None:
        for name, wanted in requests.items():
            if wanted["port"] == port:
                answers[name] = ask(wanted)

    ports = {wanted["port"] for wanted in requests.values()}
    threads = [threading.Thread(target=work, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    print(json.dumps(ask_all(json.loads(sys.argv[1]))))  # noqa: T201 -- its output
