"""A stack that this environment could not serve is refused before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.cli.validation import validated
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout

STACK = f"""
api_version: genesis.stack/v1
name: test
models:
  a:
    port: 8000
    weights: {{source: hf://a/b/c.gguf, sha256: {"a" * 64}}}
    budget: {{memory: 1GiB, cpus: 1}}
monitoring: {{tracing: {{exporter: file}}}}
"""


def test_spans_without_opentelemetry_are_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For this machine; whoever checks a file for another one may not have it."""
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(GenesisError, match="OpenTelemetry") as refused:
        validated(path, Layout.under(tmp_path))
    assert refused.value.exit_code is ExitCode.INVALID_CONFIG
    assert refused.value.hint is not None
    assert "pip install 'genesis-stack[tracing]'" in refused.value.hint
    validated(path, Layout.under(tmp_path), no_host=True)


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("security: {directives: {NoNewPrivileges: false}}\n", "models.a"),
        (
            "hosts: {one: {}, two: {overrides: {a: {security: {directives: {NoNewPrivileges: false}}}}}}\n",
            "hosts.two.overrides.a",
        ),
    ],
)
def test_what_no_stack_may_lift_is_refused_wherever_it_is_lifted(
    tmp_path: Path, lines: str, place: str
) -> None:
    """Also for a host that this machine is not: there it would end the rollout."""
    path = tmp_path / "stack.yaml"
    path.write_text(STACK.replace("monitoring: {tracing: {exporter: file}}\n", "") + lines)
    with pytest.raises(GenesisError, match=place) as refused:
        validated(path, Layout.under(tmp_path), no_host=True)
    assert refused.value.exit_code is ExitCode.INVALID_CONFIG
