from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.client import ConfigurationError, LocalLLMClient
from genesis_stack.client.stackfile import config_from_stack

REFERENCE = Path(__file__).parents[2] / "stack.yaml"

HOSTS = """
api_version: genesis.stack/v1
name: two
defaults: {listen: 0.0.0.0}
models:
  m: {port: 8000, weights: {source: "file:///m.gguf", sha256: %s}, budget: {memory: 1GiB, cpus: 1}}
clients: {app: {models: [m]}}
hosts:
  one: {address: "ssh://admin@one.example:22"}
  two: {hostname: two.example, overrides: {m: {port: 9000}}}
""" % ("a" * 64)


def test_the_stack_says_where_the_models_are_and_what_a_client_may() -> None:
    """Addresses, tasks, tags, digests, and requests per minute."""
    config = LocalLLMClient.from_stack(REFERENCE, client="orchestrator").config
    text, vision = config.endpoints
    assert (text.url, text.model, text.task) == ("http://127.0.0.1:8000", "llama-3-1-8b", "text")
    assert (vision.url, vision.task, vision.tags) == ("http://127.0.0.1:8001", "vision", ("vision", "ocr"))
    assert text.sha256 == "c2f17f44af962660d1ad4cb1af91a731f219f3b326c2b14441f9df1f347f2815"
    assert config.requests_per_minute == 60


def test_several_hosts_are_replicas_under_their_names(tmp_path: Path) -> None:
    """With what differs there."""
    path = tmp_path / "stack.yaml"
    path.write_text(HOSTS)
    config = LocalLLMClient.from_stack(path, client="app").config
    assert [endpoint.url for endpoint in config.endpoints] == [
        "http://one.example:8000",
        "http://two.example:9000",
    ]


def test_a_gateway_on_several_hosts_is_several_replicas(tmp_path: Path) -> None:
    """Whoever loses one of them has the other."""
    path = tmp_path / "stack.yaml"
    gateway = "gateway: {listen: 0.0.0.0, port: 8080, hosts: [one, two]}\n"
    path.write_text(HOSTS + "  three: {}\n" + gateway)
    config = LocalLLMClient.from_stack(path, client="app").config
    urls = [endpoint.url for endpoint in config.endpoints]
    assert urls == ["http://one.example:8080", "http://two.example:8080"]


def test_a_host_can_call_its_own_servers_alone(tmp_path: Path) -> None:
    """Past the gateway, on its own loopback: what a change on this very host is proved with."""
    path = tmp_path / "stack.yaml"
    path.write_text(HOSTS + "gateway: {listen: 0.0.0.0, port: 8080}\n")
    config = config_from_stack(path, "app", {}, host="two")
    assert [endpoint.url for endpoint in config.endpoints] == ["http://127.0.0.1:9000"]


def test_settings_go_before_the_stack() -> None:
    """What is said here and now counts."""
    client = LocalLLMClient.from_stack(REFERENCE, client="orchestrator", requests_per_minute=7)
    assert client.config.requests_per_minute == 7


def test_a_client_that_is_not_declared_is_an_error_with_those_that_are() -> None:
    """And with what to do."""
    with pytest.raises(ConfigurationError, match="orchestrator"):
        LocalLLMClient.from_stack(REFERENCE, client="nobody")


def test_an_invalid_stack_is_one_error_with_its_lines(tmp_path: Path) -> None:
    """The same as `genesis-stack validate` says."""
    path = tmp_path / "stack.yaml"
    path.write_text("api_version: genesis.stack/v1\nnmae: x\n")
    with pytest.raises(ConfigurationError, match=r"stack\.yaml:2"):
        LocalLLMClient.from_stack(path)
