"""The HTTP surface of the servers, and the gateway that may stand before them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genesis_stack.spec.fields import Address, Frozen, Many, Name, Pattern, Port, SecretName
from genesis_stack.spec.units import ByteSize

Origin = Annotated[
    str, Pattern(r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$", "an origin such as https://chat.example.org")
]


class Tls(Frozen):
    """The certificate of a listener."""

    certificate_secret: SecretName = Field(
        description="Name of the secret that holds the PEM certificate chain."
    )
    key_secret: SecretName = Field(description="Name of the secret that holds the PEM private key.")


class Http(Frozen):
    """What every server offers beside the models."""

    cors_origins: Many[Origin] = Field(default=(), description="Web pages that may call; absent: none.")
    docs: bool = Field(default=False, description="Serve the OpenAPI document and its pages.")
    metrics: Literal["loopback", "clients"] = Field(
        default="loopback",
        description="Who may read /metrics: this machine alone, or clients with a key too.",
    )
    tls: Tls | None = Field(
        default=None, description="Serve HTTPS; absent: HTTP, for loopback or behind a proxy."
    )


class Gateway(Frozen):
    """HAProxy before the models: one address for all of them, on one host or several."""

    listen: Address = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(description="Port to listen on.")
    hosts: Many[Name] | None = Field(
        default=None, description="Hosts that run it, each in front of all hosts; absent: every one."
    )
    tls: Tls | None = Field(default=None, description="Serve HTTPS.")
    ca_secret: SecretName | None = Field(
        default=None,
        description="Name of the secret with the PEM certificates of who signs those of the servers, when "
        "`http.tls` is set; needed for servers on other hosts.",
    )
    affinity: bool = Field(default=True, description="Send requests that begin alike to the same replica.")
    memory: ByteSize = Field(default=256 * 1024**2, gt=0, description="Most memory.")
    metrics_port: Port = Field(default=8405, description="Loopback port of its own Prometheus metrics.")
