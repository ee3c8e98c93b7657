"""The programs that watch a stack: what they run, listen on and read, whatever runs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from genesis_stack.layout import Layout
from genesis_stack.render.agent import AGENT, TIMER
from genesis_stack.render.files import Runtime
from genesis_stack.render.monitoring.alertmanager import secrets_of
from genesis_stack.render.monitoring.files import alertmanager_path, prometheus_path, rules_path
from genesis_stack.render.monitoring.rule import span
from genesis_stack.spec.addresses import authority
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.model import Stack
from genesis_stack.spec.monitoring import EXPORTER_MEMORY, Alertmanager, Prometheus

RESEND: Final = 60.0
RESEND_SCRAPES: Final = 4
"""Seconds, or scrapes, until Alertmanager is told again: right after a reload there is nobody to tell."""

Kind = Literal["systemd", "embedded"]
Reach = Literal["host", "loopback", "network", "front"]
"""What a program must get at: the host's own state, this machine's ports, receivers elsewhere; or it is what
clients come through."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program. `name` holds a dot, so that no model can have it; `memory` is in bytes.

    A change of a file in `configs` needs no restart. `data` is its own directory. `readable` are directories
    outside of the system's own that it runs from. Its metrics are on `metrics_port` if not on `port`. It is
    handed `secrets` under their own names, and `credentials`, pairs of a name and a secret, under these.
    """

    name: str
    title: str
    argv: tuple[str, ...]
    host: str
    port: int
    configs: tuple[PurePosixPath, ...]
    memory: int
    reach: Reach
    data: bool = True
    secrets: tuple[str, ...] = ()
    readable: tuple[PurePosixPath, ...] = ()
    metrics_port: int | None = None
    credentials: tuple[tuple[str, str], ...] = ()

    @property
    def unit(self) -> str:
        """Its service unit."""
        return unit_name(self.name)


def unit_name(name: str) -> str:
    """The unit of a program: `monitor.prometheus` is genesis-prometheus.service, the agent has a timer."""
    return TIMER if name == AGENT else f"genesis-{name.partition('.')[2]}.service"


def data_directory(name: str, kind: Kind, layout: Layout) -> PurePosixPath:
    """Where a program keeps what it must not lose."""
    short = name.partition(".")[2]
    if kind == "systemd":
        return PurePosixPath("/var/lib") / f"genesis-{short}"
    return PurePosixPath(layout.state) / short


def watching_programs(stack: Stack, layout: Layout, runtime: Runtime, kind: Kind) -> Iterator[Program]:
    """What must run for the declared parts of monitoring, in the order in which it starts."""
    prometheus, alertmanager = stack.monitoring.prometheus, stack.monitoring.alertmanager
    if prometheus is None:
        return
    yield _exporter(prometheus, layout, runtime, kind)
    if alertmanager is not None and alertmanager.mode == "managed":
        yield _alertmanager(alertmanager, stack.gitops, layout, kind)
    if prometheus.mode == "managed":
        yield _prometheus(prometheus, layout, kind)


def _debian(program: str, kind: Kind) -> str:
    """A path, as systemd wants it; the embedded backend takes what the user's PATH has."""
    return f"/usr/bin/{program}" if kind == "systemd" else program


def _prometheus(prometheus: Prometheus, layout: Layout, kind: Kind) -> Program:
    name = "monitor.prometheus"
    return Program(
        name=name,
        title="Prometheus of the stack",
        argv=(
            _debian("prometheus", kind),
            f"--config.file={prometheus_path(layout)}",
            f"--storage.tsdb.path={data_directory(name, kind, layout)}",
            f"--storage.tsdb.retention.time={span(prometheus.retention)}",
            f"--web.listen-address={authority(prometheus.listen, prometheus.port)}",
            f"--rules.alert.resend-delay={span(min(RESEND, RESEND_SCRAPES * prometheus.scrape_interval))}",
            "--enable-feature=exemplar-storage",  # the trace behind a latency bucket
        ),
        host=prometheus.listen,
        port=prometheus.port,
        configs=(prometheus_path(layout), rules_path(layout)),
        memory=prometheus.memory,
        reach="loopback",
    )


def _alertmanager(alertmanager: Alertmanager, gitops: GitOps | None, layout: Layout, kind: Kind) -> Program:
    name = "monitor.alertmanager"
    return Program(
        name=name,
        title="Alertmanager of the stack",
        argv=(
            _debian("prometheus-alertmanager", kind),
            f"--config.file={alertmanager_path(layout)}",
            f"--storage.path={data_directory(name, kind, layout)}",
            f"--web.listen-address={authority(alertmanager.listen, alertmanager.port)}",
            "--cluster.listen-address=",  # no gossip: it would listen on every address
        ),
        host=alertmanager.listen,
        port=alertmanager.port,
        configs=(alertmanager_path(layout),),
        memory=alertmanager.memory,
        reach="network",
        secrets=tuple(secrets_of(alertmanager, gitops)),
    )


def _exporter(prometheus: Prometheus, layout: Layout, runtime: Runtime, kind: Kind) -> Program:
    root = ("--root", str(layout.root)) if layout.root is not None else ()
    return Program(
        name="monitor.exporter",
        title="Exporter of the host's state",
        argv=(
            str(runtime.prefix / "bin/genesis-stack"),
            "exporter",
            f"--port={prometheus.exporter_port}",
            f"--backend={kind}",
            *root,
        ),
        host="127.0.0.1",
        port=prometheus.exporter_port,
        configs=(),
        memory=EXPORTER_MEMORY,
        reach="host",
        data=False,
        readable=runtime.directories,
    )
