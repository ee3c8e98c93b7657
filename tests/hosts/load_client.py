"""Runs inside a test host: chats from several threads until told to stop, and counts how requests end.

Arguments: port, model, threads, and `tls` to speak it without verifying. A line on standard input ends it;
the counts are printed as JSON. A request counts as `refused` if its connection was not accepted, as `broken`
if the server died while it worked on it, and as `answered` if it came back with status 200.
"""

import http.client
import json
import ssl
import sys
import threading
from collections import Counter

PORT, MODEL, THREADS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
CONTEXT = ssl._create_unverified_context() if sys.argv[4:] == ["tls"] else None  # noqa: S323
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Count."}], "max_tokens": 8})


def chat() -> str:
    """Make one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=600)
    if CONTEXT is not None:
        connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=600, context=CONTEXT)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "broken"
    try:
        connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return "broken"
    else:
        return "answered" if answer.status == http.client.OK else f"status {answer.status}"
    finally:
        connection.close()


def work(ends: Counter[str], stop: threading.Event) -> None:
    """Make one request after another, and at least one."""
    while True:
        ends[chat()] += 1
        if stop.is_set():
            return


if __name__ == "__main__":
    counted: Counter[str] = Counter()
    stopped = threading.Event()
    threads = [threading.Thread(target=work, args=(counted, stopped)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    stopped.set()
    for thread in threads:
        thread.join()
    print(json.dumps(counted))  # noqa: T201 -- its output
