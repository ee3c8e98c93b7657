"""HTTPS in front of the gateway and behind it, each with its own certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from certificates import issue

from gateway.front import PATIENCE, Front, in_front_of
from gateway.paced import Paced, serving

pytestmark = pytest.mark.prometheus
SECRETS = {"certificate_secret": "tls.crt", "key_secret": "tls.key"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Paced]:
    """A server that speaks HTTPS."""
    folder = tmp_path / "server"
    folder.mkdir()
    issue(folder, "server.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    async with serving(Paced("one", tls=context)) as (one,):
        yield one


async def test_clients_and_servers_are_spoken_to_over_tls(tmp_path: Path, server: Paced) -> None:
    """The client checks the gateway's certificate, the gateway that of the server."""
    issue(tmp_path, "door.example")
    handed = {"tls.pem": "tls.crt", "tls.pem.key": "tls.key", "ca.pem": "server/tls.crt"}
    for name, file in handed.items():
        (tmp_path / name).symlink_to(tmp_path / file)
    async with in_front_of(
        tmp_path,
        {"a": {"one": server}},
        gateway={"tls": SECRETS, "ca_secret": "ca"},
        http={"tls": SECRETS},
        environment={"CREDENTIALS_DIRECTORY": str(tmp_path)},
        scheme="https",
        verify=ssl.create_default_context(cafile=str(tmp_path / "tls.crt")),
    ) as front:
        assert await front.server_of("a") == "one"


async def test_a_server_with_a_certificate_of_somebody_else_gets_nothing(
    tmp_path: Path, server: Paced
) -> None:
    """It is never seen to be ready, and no request is sent to it."""
    issue(tmp_path, "another.example")
    (tmp_path / "ca.pem").symlink_to(tmp_path / "tls.crt")
    async with in_front_of(
        tmp_path,
        {"a": {"one": server}},
        awaited="DOWN",
        gateway={"ca_secret": "ca"},
        http={"tls": SECRETS},
        environment={"CREDENTIALS_DIRECTORY": str(tmp_path)},
    ) as front:
        assert await refused(front) == 503
    assert not server.asked


async def refused(front: Front) -> int:
    """The status of a chat."""
    async with asyncio.timeout(PATIENCE):
        return (await front.chat("a")).status_code
