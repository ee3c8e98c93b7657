"""HTTPS for those without a proxy: renewed without a refused connection, and as patient as plain HTTP."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from certificates import issue
from live import CHAT, Live, live, post

from genesis_stack.protocol.serve_config import TlsConfig
from genesis_stack.server.config_file import ConfigError
from genesis_stack.server.tls import Certificate

TLS = {"certificate": "tls.crt", "key": "tls.key"}
BODY = json.dumps(CHAT).encode()


def name_of(server: Live) -> str:
    """Whom the certificate of the next connection is for."""
    pem = ssl.get_server_certificate(server.address, timeout=20)
    der = ssl.PEM_cert_to_DER_cert(pem)
    return "second" if b"second" in der else "first"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A directory of secrets with a certificate."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    issue(directory, "first.example")
    return directory


@pytest.fixture
def server(tmp_path: Path, secrets: Path) -> Generator[Live]:
    """A server with that certificate."""
    with live(tmp_path, sections={"secrets": str(secrets)}, tls=TLS, receive_timeout_s=1.0) as server:
        yield server


def asked(server: Live, secrets: Path) -> httpx.Response:
    """A chat over TLS, with the certificate verified."""
    context = ssl.create_default_context(cafile=str(secrets / "tls.crt"))
    url = f"https://127.0.0.1:{server.address[1]}/v1/chat/completions"
    return httpx.post(url, json=CHAT, verify=context, timeout=20)


def test_it_answers_over_tls_and_renews_without_a_refusal(server: Live, secrets: Path) -> None:
    """A new certificate is used from the next connection on; an unusable one leaves the last in force."""
    assert asked(server, secrets).status_code == 200
    assert name_of(server) == "first"
    issue(secrets, "second.example")
    assert asked(server, secrets).status_code == 200
    assert name_of(server) == "second"
    (secrets / "tls.crt").write_text("nonsense")
    assert name_of(server) == "second"
    (secrets / "tls.key").unlink()
    assert name_of(server) == "second"
    assert "PRIVATE" not in server.log.read_text()


def test_old_versions_are_not_spoken(server: Live) -> None:
    """TLS 1.2 is the least."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(server.address) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_hostile_handshakes_end_and_harm_nobody(server: Live, secrets: Path) -> None:
    """No bytes, half a hello, plain HTTP: each connection ends within the deadline."""
    assert asked(server, secrets).status_code == 200
    started = time.monotonic()
    wires = [server.wire(content) for content in (b"", b"\x16\x03\x01\x02\x00\x01", post("/health", b""))]
    assert asked(server, secrets).status_code == 200
    for wire in wires:
        assert b"HTTP" not in wire.answer().content
    assert time.monotonic() - started < 6
    assert "Traceback" not in server.log.read_text()


def test_a_request_in_one_packet_with_the_handshake_is_answered(server: Live) -> None:
    """The first bytes may be there before the server knows that the handshake is over."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(server.address, timeout=20) as plain:
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        plain.sendall(outgoing.read())
        while True:
            incoming.write(plain.recv(65536))
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        session.write(post("/v1/chat/completions", BODY, b"connection: close"))
        plain.sendall(outgoing.read())
        while True:
            incoming.write(plain.recv(65536))
            try:
                answer = session.read(65536)
                break
            except ssl.SSLWantReadError:  # so far only tickets for later sessions
                continue
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("missing", ["tls.crt", "tls.key"])
def test_a_missing_secret_is_named(secrets: Path, missing: str) -> None:
    """With its path, before the server listens."""
    (secrets / missing).unlink()
    with pytest.raises(ConfigError, match=missing):
        Certificate(TlsConfig.model_validate(TLS), str(secrets))


def test_a_key_of_another_certificate_is_refused(secrets: Path) -> None:
    """By both files, and with exit code 78."""
    key = (secrets / "tls.key").read_text()
    issue(secrets, "second.example")
    (secrets / "tls.key").write_text(key)
    with pytest.raises(ConfigError, match=r"tls\.crt.*tls\.key") as refused:
        Certificate(TlsConfig.model_validate(TLS), str(secrets))
    assert refused.value.exit_code == os.EX_CONFIG
