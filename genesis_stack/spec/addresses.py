"""Addresses that servers listen on, and where they are reached."""

from __future__ import annotations

import ipaddress


def is_everywhere(listen: str) -> bool:
    """Whether what listens there is reached by every address of its host: 0.0.0.0 and ::."""
    try:
        return ipaddress.ip_address(listen).is_unspecified
    except ValueError:  # a name
        return False


def from_here(listen: str) -> str:
    """The address at which its own host reaches it."""
    if not is_everywhere(listen):
        return listen
    return "::1" if ":" in listen else "127.0.0.1"


def authority(host: str, port: int) -> str:
    """`host:port` as a URL has it, with an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
