"""`genesis-stack exporter`: tell Prometheus what the servers cannot say of themselves."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from genesis_stack.cli.host import host_options, open_host, say
from genesis_stack.errors import GenesisError


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=9180,
    show_default=True,
    help="Loopback port of /metrics.",
)
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write FILE once instead, for node_exporter's textfile collector.",
)
@host_options
def exporter(*, port: int, textfile: Path | None, root: Path | None, backend: str | None) -> None:
    """Serve drift, restarts, applies, disk and agent of this host on http://127.0.0.1:PORT/metrics.

    Changes nothing. A stack with monitoring runs it by itself.
    """
    from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile

    from genesis_stack.gitops.agent_metrics import AgentCollector
    from genesis_stack.reconcile.host_metrics import HostCollector

    registry = CollectorRegistry()
    host = open_host(root, backend)
    for collector in (HostCollector(host), AgentCollector(host)):
        registry.register(collector)
    if textfile is not None:
        write_to_textfile(str(textfile), registry)
        return
    try:
        server, thread = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise GenesisError(f"127.0.0.1:{port}: {error.strerror}", hint="choose another --port") from None
    say(f"http://127.0.0.1:{port}/metrics")
    signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
    thread.join()
