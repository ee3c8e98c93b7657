"""The server that plans are about: model a, its config and its socket."""

from __future__ import annotations

from pathlib import PurePosixPath

from genesis_stack.backends import Service

CONFIG = PurePosixPath("/etc/a.json")
SOCKET = PurePosixPath("/etc/a.socket")
MIB = 2**20


def service(model: str = "a", *, port: int = 1, strategy: str = "queue") -> Service:
    """A server."""
    return Service(
        model=model,
        host="127.0.0.1",
        port=port,
        weights="w",
        config="c",
        memory=100 * MIB,
        strategy="blue_green" if strategy == "blue_green" else "queue",
        min_healthy=1.0,
        deadline=60.0,
        drain=30.0,
        max_exposure=0.2,
        restart_on=(CONFIG.with_name(f"{model}.json"),),
        rebind_on=(SOCKET,),
    )
