"""The address of another program on the command line."""

from __future__ import annotations

import click


def url(text: str) -> str:
    """The `type` of an option that takes an http:// or https:// address; without a slash at its end."""
    import httpx

    try:
        parsed = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise click.BadParameter(f"{text!r} is not an http:// or https:// URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise click.BadParameter(f"{text!r} is not an http:// or https:// URL")
    return text.rstrip("/")
