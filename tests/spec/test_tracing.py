"""Spans may go where the sandbox lets them."""

from __future__ import annotations

import pytest

from genesis_stack.spec.load import loads

STACK = """
api_version: genesis.stack/v1
name: test
models:
  a:
    port: 8000
    weights: {{source: hf://a/b/c.gguf, sha256: {digest}}}
    budget: {{memory: 1GiB, cpus: 2}}
security: {security}
monitoring: {{tracing: {tracing}}}
"""


@pytest.mark.parametrize(
    ("security", "tracing"),
    [
        ("{profile: strict}", "{exporter: file}"),
        ("{profile: standard}", "{exporter: otlp, endpoint: 'http://127.0.0.1:4318/v1/traces'}"),
        ("{profile: standard}", "{exporter: otlp, endpoint: 'http://[::1]:4318/v1/traces'}"),
        ("{profile: standard}", "{exporter: otlp, endpoint: 'http://localhost:4318/v1/traces'}"),
        (
            "{profile: standard, directives: {IPAddressDeny: 192.0.2.0/24}}",
            "{exporter: otlp, endpoint: 'http://198.51.100.7:4318/v1/traces'}",
        ),
        (
            "{profile: standard, directives: {IPAddressAllow: 192.0.2.7}}",
            "{exporter: otlp, endpoint: 'http://192.0.2.7:4318/v1/traces'}",
        ),
    ],
)
def test_what_the_sandbox_lets_out_is_valid(security: str, tracing: str) -> None:
    """A file anywhere, a collector on this machine, or one that the stack lets through."""
    stack = loads(STACK.format(digest="a" * 64, security=security, tracing=tracing))
    assert stack.monitoring.tracing.exporter in tracing


@pytest.mark.parametrize(
    ("security", "own"),
    [("{profile: standard}", "{max_exposure: 2}"), ("{max_exposure: 2}", "{profile: standard}")],
)
@pytest.mark.parametrize("where", ["models", "hosts"])
def test_a_models_own_word_is_laid_over_the_stacks(security: str, own: str, where: str) -> None:
    """What a model or a host says of its sandbox leaves the rest of it as it was."""
    tracing = "{exporter: otlp, endpoint: 'http://127.0.0.1:4318/v1/traces'}"
    text = STACK.format(digest="a" * 64, security=security, tracing=tracing)
    if where == "models":
        text = text.replace("\nsecurity:", f"\n    security: {own}\nsecurity:")
    else:
        text += f"hosts: {{one: {{overrides: {{a: {{security: {own}}}}}}}}}\n"
    assert loads(text).monitoring.tracing.exporter == "otlp"
