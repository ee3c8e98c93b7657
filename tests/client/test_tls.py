"""HTTPS with a certificate of one's own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from client.stand_in import MODEL, chat_reply, stand_in
from genesis_stack.client import ConfigurationError, ConnectionFailedError, LocalLLMClient


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_a_certificate_counts_only_if_it_is_trusted(certificate: Path) -> None:
    """There is no way to trust everything."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with stand_in(lambda _: chat_reply(), tls=context) as server:
        endpoints = [{"url": server.url, "model": MODEL}]
        async with LocalLLMClient(endpoints=endpoints, retry={"attempts": 1}) as client:
            with pytest.raises(ConnectionFailedError, match="trust its certificate with ca_file"):
                await client.complete_text("Hi.")
        async with LocalLLMClient(endpoints=endpoints, ca_file=certificate) as client:
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
