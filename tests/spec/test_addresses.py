"""Where a listener is reached."""

from __future__ import annotations

import pytest

from genesis_stack.spec.addresses import authority, from_here, is_everywhere


@pytest.mark.parametrize(
    ("listen", "everywhere", "here"),
    [
        ("0.0.0.0", True, "127.0.0.1"),  # noqa: S104 -- nobody listens
        ("::", True, "::1"),
        ("0::0", True, "::1"),
        ("192.0.2.1", False, "192.0.2.1"),
        ("::1", False, "::1"),
        ("one.example", False, "one.example"),
    ],
)
def test_what_listens_everywhere_is_reached_on_loopback(listen: str, everywhere: bool, here: str) -> None:
    """However the address is spelled; others are reached where they listen."""
    assert is_everywhere(listen) is everywhere
    assert from_here(listen) == here


def test_an_ipv6_address_stands_in_brackets_before_a_port() -> None:
    """As URLs, HAProxy, Prometheus and systemd write it."""
    assert authority("::1", 80) == "[::1]:80"
    assert authority("192.0.2.1", 80) == "192.0.2.1:80"
