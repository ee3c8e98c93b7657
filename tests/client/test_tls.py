"""HTTPS with a certificate of one's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from certificates import issue

from client.stand_in import MODEL, chat_reply, stand_in
from genesis_stack.client import ConfigurationError, ConnectionFailedError, LocalLLMClient


async def test_a_certificate_counts_only_if_it_is_trusted(tmp_path: Path) -> None:
    """There is no way to trust everything."""
    issue(tmp_path, "stand-in.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    async with stand_in(lambda _: chat_reply(), tls=context) as server:
        endpoints = [{"url": server.url, "model": MODEL}]
        async with LocalLLMClient(endpoints=endpoints, retry={"attempts": 1}) as client:
            with pytest.raises(ConnectionFailedError, match="ca_file"):
                await client.complete_text("Hi.")
        async with LocalLLMClient(endpoints=endpoints, ca_file=tmp_path / "tls.crt") as client:
            assert (await client.complete_text("Hi.")).text == "Hello."


async def test_a_certificate_that_cannot_be_read_is_a_setting_that_cannot_work(tmp_path: Path) -> None:
    """Said with the file, when the client is opened."""
    for content in (None, "no certificate"):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)
        client = LocalLLMClient("https://127.0.0.1:1", ca_file=path)
        with pytest.raises(ConfigurationError, match="ca_file"):
            await client.__aenter__()
