"""Certificates for tests, signed by themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path


def issue(directory: Path, name: str) -> None:
    """Put a certificate for this name, and for 127.0.0.1, in place of the one that is there."""
    command = [
        *("openssl", "req", "-x509", "-nodes", "-days", "1", "-newkey", "ec"),
        *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"),
        *("-keyout", f"{directory}/new.key", "-out", f"{directory}/new.crt"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (directory / "new.key").replace(directory / "tls.key")
    (directory / "new.crt").replace(directory / "tls.crt")
