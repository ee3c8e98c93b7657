"""The gateway's configuration at its place, and the program that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.render.files import RenderedFile
from genesis_stack.render.gateway.haproxy import AUTHORITY, CERTIFICATE, KEY, haproxy_config
from genesis_stack.render.monitoring.programs import Kind, Program
from genesis_stack.spec.effective import gateway_on
from genesis_stack.spec.http import Gateway
from genesis_stack.spec.model import Stack

GATEWAY: Final = "front.gateway"
"""Its name among the programs; it holds a dot, so that no model can have it."""


def config_path(layout: Layout) -> PurePosixPath:
    """Where HAProxy reads its configuration."""
    return PurePosixPath(layout.config) / "gateway" / "haproxy.cfg"


def gateway_file(stack: Stack, layout: Layout, owner: str, about: str) -> Iterator[RenderedFile]:
    """The configuration, on a host that runs the gateway."""
    if gateway_on(stack, None) is not None:
        yield RenderedFile(config_path(layout), haproxy_config(stack, about), 0o644, owner)


def gateway_program(stack: Stack, layout: Layout, kind: Kind) -> Iterator[Program]:
    """HAProxy, on a host that runs the gateway; under systemd it tells when it is ready."""
    gateway = gateway_on(stack, None)
    if gateway is None:
        return
    program = ("/usr/sbin/haproxy", "-Ws") if kind == "systemd" else ("haproxy", "-W")
    yield Program(
        name=GATEWAY,
        title=f"Gateway of {stack.name}",
        argv=(*program, "-f", str(config_path(layout))),
        host=gateway.listen,
        port=gateway.port,
        metrics_port=gateway.metrics_port,
        configs=(config_path(layout),),
        memory=gateway.memory,
        reach="front",
        data=False,
        credentials=tuple(_credentials(stack, gateway)),
    )


def _credentials(stack: Stack, gateway: Gateway) -> Iterator[tuple[str, str]]:
    """What it is handed, and the names of the secrets that these are."""
    if gateway.tls is not None:
        yield CERTIFICATE, gateway.tls.certificate_secret
        yield KEY, gateway.tls.key_secret
    if gateway.ca_secret is not None and stack.http.tls is not None:
        yield AUTHORITY, gateway.ca_secret
