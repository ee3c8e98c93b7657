"""One request to a server on this machine, as a client with a key makes it; prints its status.

Arguments: port, and `bearer`, `signed` or `stranger`. The key is read from standard input.
"""

import sys
import urllib.error
import urllib.request

from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.signing import Head, sign

PATH = "/v1/completions"
BODY = b'{"model": "smol", "prompt": "Count:", "max_tokens": 2}'


def fields(port: str, how: str, key: str) -> dict[str, str]:
    """The header fields of such a client."""
    match how:
        case "bearer":
            return {"Authorization": f"Bearer {key}"}
        case "signed":
            parsed = ClientKey.parse(key)
            head = Head("POST", f"127.0.0.1:{port}".encode(), PATH.encode())
            return sign(head, BODY, key_id=parsed.id, secret=parsed.signing_secret)
        case _:
            return {}


def main() -> None:
    """Ask, and say how it ended."""
    port, how = sys.argv[1:]
    head = fields(port, how, sys.stdin.readline().strip()) | {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", BODY, head)
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            print(answer.status)  # noqa: T201 -- its output
    except urllib.error.HTTPError as error:
        print(error.code)  # noqa: T201 -- its output


if __name__ == "__main__":
    main()
