"""`genesis-stack dashboard`: a page on loopback with the models, live."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genesis_stack.cli.api_key import api_key
from genesis_stack.cli.host import host_options, open_host, say
from genesis_stack.cli.url import url
from genesis_stack.errors import GenesisError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from genesis_stack.dashboard.watch import Watch

PORT = 8090


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--prometheus", type=url, help="A Prometheus other than the stack's own.")
@click.option("--alertmanager", type=url, help="An Alertmanager other than the stack's.")
@host_options
def dashboard(
    *, port: int, prometheus: str | None, alertmanager: str | None, root: Path | None, backend: str | None
) -> None:
    """Show the models on a page that this machine alone can open, until Ctrl-C.

    From another machine, tunnel to it: ssh -L 8090:127.0.0.1:8090 HOST. It reads the servers' /metrics
    itself; a server that wants a key for that is shown that of GENESIS_API_KEY, GENESIS_LLM_API_KEY or
    GENESIS_LLM_API_KEY_FILE.
    """
    from genesis_stack.dashboard.app import app
    from genesis_stack.dashboard.monitors import Monitors
    from genesis_stack.dashboard.watch import Watch

    host = open_host(root, backend)
    watch = Watch(host.transaction.generations, Monitors(prometheus, alertmanager), api_key())
    with _listener(port) as listener:
        say(f"http://127.0.0.1:{listener.getsockname()[1]} shows the models; Ctrl-C ends")
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            asyncio.run(_serve(app(watch), watch, listener))


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        hint = "another dashboard may be running; --port chooses a port, and --port 0 a free one"
        raise GenesisError(f"127.0.0.1:{port}: {error.strerror}", hint=hint) from None


async def _serve(application: ASGIApp, watch: Watch, listener: socket.socket) -> None:
    """Serve and look until Ctrl-C; if looking fails, nothing is served any longer."""
    import uvicorn

    config = uvicorn.Config(
        application,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(watch.run())
        await uvicorn.Server(config).serve(sockets=[listener])
        looking.cancel()
