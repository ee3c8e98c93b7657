"""Stands in for genesis-serve: runs Python that it is sent, so that a test can try doors from the inside.

Speaks the service protocol of genesis-serve: takes the listening socket as descriptor 3 (sd_listen_fds(3))
and tells readiness to NOTIFY_SOCKET (sd_notify(3)). The answer to a piece of Python is what its variable
`value` holds, or the error that it ended with.
"""

import os
import socket


def notify(message: str) -> None:
    """Tell the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(os.environ["NOTIFY_SOCKET"])
        manager.send(message.encode())


def answer(source: str) -> str:
    """Run the source and tell its end."""
    variables: dict[str, object] = {}
    try:
        exec(source, variables)  # noqa: S102 -- running what it is sent is its purpose
    except BaseException as error:  # noqa: BLE001 -- whatever stops it is the finding
        return f"{type(error).__name__}: {error}"
    return repr(variables.get("value"))


def serve(listener: socket.socket) -> None:
    """Answer one connection after another."""
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rw") as stream:
            source = stream.read()
            stream.write(answer(source))


if __name__ == "__main__":
    accepted = socket.socket(fileno=3)
    notify("READY=1")
    serve(accepted)
