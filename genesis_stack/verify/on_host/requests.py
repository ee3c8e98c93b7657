"""Runs on the host and makes HTTP requests to its own servers; prints the answers as JSON.

The one argument is a JSON object. `requests` maps names to {address, port, method, path, headers, body,
filler, shows, times, kept, tls}: `filler` is a number of bytes that are sent as the body instead, `shows`
says how the caller proves who it is (`nothing`, `key`, `forgery` or `replay`), `times` how often to ask until
429, `kept` how many bytes of the body to tell. Requests of one port follow each other, those of several
ports run at the same time. `key_file` is a file with a client's key, which stays on this host, and `issued`
the list of issued keys. The answer maps each name to {status, headers, body} or {error}, and `caller` to
what is known of the key.
"""

import contextlib
import http.client
import json
import os
import secrets
import stat
import sys
import threading
import time
from typing import Any

SECONDS = 60
PATIENCE = 65.0
"""Seconds that a request waits for its turn where an earlier run has used up the client's minute."""
TOO_MANY = http.client.TOO_MANY_REQUESTS
TOO_SLOW = "it answers too slowly for its limit to be reached"
LATER = {TOO_MANY, http.client.SERVICE_UNAVAILABLE}
"""What is said to a client that has used up its minute, and to a signature from before the server's start."""


def caller_of(key_file: str, issued: str) -> dict[str, Any]:
    """The key, the client that it was issued to, and whether it signs; `problem` says why there is none."""
    try:
        with open(key_file) as file:
            status, text = os.fstat(file.fileno()), file.read().strip()
        with open(issued) as file:
            keys = {key["id"]: key for key in json.load(file)["keys"]}
    except OSError as error:
        return {"problem": f"{error.filename}: {error.strerror}"}
    if status.st_uid != 0 or stat.S_IMODE(status.st_mode) & 0o077:
        return {"problem": f"{key_file} can be read by others than root: chmod 600"}
    key_id = text.split("_")[1] if text.count("_") > 1 else ""
    if key_id not in keys:
        return {"problem": f"{key_file} holds no key that was issued here"}
    key = keys[key_id]
    return {"id": key_id, "client": key["client"], "signs": key["digest"] is None, "text": text}


def proof(wanted: dict[str, Any], body: bytes, caller: dict[str, Any]) -> dict[str, str]:
    """The header fields that prove who calls."""
    if wanted["shows"] == "nothing":
        return {}
    if wanted["shows"] == "key" and not caller.get("signs"):
        return {"Authorization": f"Bearer {caller['text']}"} if "text" in caller else {}
    from genesis_stack.protocol.signing import Head, sign

    address = f"[{wanted['address']}]" if ":" in wanted["address"] else wanted["address"]
    head = Head(wanted["method"], f"{address}:{wanted['port']}".encode(), wanted["path"].encode())
    forged = wanted["shows"] == "forgery"
    secret = secrets.token_bytes(32) if forged else caller["text"].encode()
    return sign(head, body, key_id=caller.get("id", "0" * 12), secret=secret)


def unverified() -> Any:
    """TLS without a look at the certificate: it is made out to another name, and nobody is on the way."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def send(wanted: dict[str, Any], body: bytes, fields: dict[str, str]) -> dict[str, Any]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(wanted["address"], wanted["port"], timeout=SECONDS)
    if wanted["tls"]:
        connection = http.client.HTTPSConnection(
            wanted["address"], wanted["port"], timeout=SECONDS, context=unverified()
        )
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.request(wanted["method"], wanted["path"], body or None, wanted["headers"] | fields)
        answer = connection.getresponse()
        text = answer.read(wanted["kept"]).decode(errors="replace")
        headers = {name.lower(): value for name, value in answer.getheaders()}
    except (OSError, http.client.HTTPException) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    else:
        return {"status": answer.status, "headers": headers, "body": text}
    finally:
        connection.close()


def ask(wanted: dict[str, Any], caller: dict[str, Any]) -> dict[str, Any]:
    """The answer that counts: the second of a replay, the first 429 of many, the one after a wait."""
    body = b" " * wanted["filler"] if wanted["filler"] else wanted["body"].encode()
    answer = _in_turn(wanted, body, caller)
    if wanted["shows"] == "replay":
        fields = proof(wanted, body, caller)
        send(wanted, body, fields)
        return send(wanted, body, fields)
    return _used_up(wanted, body, caller, answer) if wanted["times"] else answer


def _used_up(
    wanted: dict[str, Any], body: bytes, caller: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    """The first 429: a minute's requests, and those that became due again while they were made."""
    start, asked = time.monotonic(), 0
    while answer.get("status") == http.client.OK:
        minutes = (time.monotonic() - start) / 60
        if asked > wanted["times"] * (1 + minutes):
            break
        if minutes > 1:
            return {"error": TOO_SLOW}
        answer = send(wanted, body, proof(wanted, body, caller))
        asked += 1
    return answer


def _in_turn(wanted: dict[str, Any], body: bytes, caller: dict[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while True:
        answer = send(wanted, body, proof(wanted, body, caller))
        pause = float(answer.get("headers", {}).get("retry-after", 1))
        hurried = wanted["shows"] == "nothing" or wanted["times"]
        if answer.get("status") not in LATER or hurried or time.monotonic() + pause > end:
            return answer
        time.sleep(pause)


def ask_all(requests: dict[str, dict[str, Any]], caller: dict[str, Any]) -> dict[str, Any]:
    """Every request, those of one port in their order."""
    answers: dict[str, Any] = {}

    def work(port: int) -> None:
        for name, wanted in requests.items():
            if wanted["port"] == port and (wanted["shows"] != "replay" or caller.get("signs")):
                answers[name] = ask(wanted, caller)

    ports = {wanted["port"] for wanted in requests.values()}
    threads = [threading.Thread(target=work, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    known = caller_of(told["key_file"], told["issued"])
    shown = {name: value for name, value in known.items() if name != "text"}
    print(json.dumps(ask_all(told["requests"], known) | {"caller": shown}))  # noqa: T201 -- its output
