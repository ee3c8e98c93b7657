from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.client import ConfigurationError, Endpoint, LocalLLMClient, LocalLLMConfig
from genesis_stack.protocol.keys import ClientKey

KEY = ClientKey.generate().text


@pytest.mark.parametrize(
    ("written", "endpoints"),
    [
        ("http://127.0.0.1:8000", [("http://127.0.0.1:8000", None)]),
        ("http://127.0.0.1:8000/v1/", [("http://127.0.0.1:8000", None)]),
        ("llama=http://a:1, llama=http://b:1", [("http://a:1", "llama"), ("http://b:1", "llama")]),
        ('[{"url": "https://a:1", "model": "m", "task": "vision"}]', [("https://a:1", "m")]),
    ],
)
def test_endpoints_can_be_written_in_a_variable(
    written: str, endpoints: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As people paste them."""
    monkeypatch.setenv("GENESIS_LLM_ENDPOINTS", written)
    assert [(endpoint.url, endpoint.model) for endpoint in LocalLLMConfig().endpoints] == endpoints


def test_every_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested ones with two underscores."""
    monkeypatch.setenv("GENESIS_LLM_ENDPOINTS", "http://a:1")
    monkeypatch.setenv("GENESIS_LLM_TIMEOUTS__DEADLINE", "30")
    monkeypatch.setenv("GENESIS_LLM_REQUESTS_PER_MINUTE", "5")
    config = LocalLLMClient().config
    assert (config.timeouts.deadline, config.requests_per_minute) == (30, 5)


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    """As a service manager hands them over."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    config = LocalLLMConfig.build(endpoints="http://a:1", api_key_file=tmp_path / "key")
    assert config.api_key is not None
    assert config.api_key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"endpoints": "ftp://a"}, "http"),
        ({"endpoints": "http://user:hunter2@a:1"}, "api_key"),
        ({"endpoints": "http://a:1?key=hunter2"}, "query"),
        ({"endpoints": ""}, "endpoints"),
        ({"endpoints": "http://a:1", "hmac_secret": "hunter2"}, "key_id"),
        ({"endpoints": "http://a:1", "retry": {"attempts": 0}}, "retry.attempts"),
        ({"endpoints": "http://a:1", "tiemout": 3}, "tiemout"),
        ({"endpoints": "http://a:1", "api_key_file": "/nowhere/hunter2"}, "api_key_file"),
        ({"endpoints": "[{"}, "endpoints"),
        ({"endpoints": "http://a:1", "api_key": "hunter2\nhunter2"}, "api_key"),
        ({}, "endpoints"),
    ],
)
def test_bad_settings_are_named_and_no_value_is_repeated(settings: dict[str, object], word: str) -> None:
    """A password in a URL must not end in a log."""
    with pytest.raises(ConfigurationError, match=word) as caught:
        LocalLLMClient(**settings)
    if "api_key_file" not in settings:
        assert "hunter2" not in str(caught.value)


def test_a_config_and_keywords_beside_it_are_an_error() -> None:
    """One of them would be ignored."""
    with pytest.raises(ConfigurationError, match="api_key"):
        LocalLLMClient(LocalLLMConfig.build(endpoints="http://a:1"), api_key="x")


def test_no_repr_shows_a_secret() -> None:
    """Not of the settings, not of the client."""
    config = LocalLLMConfig.build(endpoints=[Endpoint(url="http://a:1")], api_key=KEY, hmac_secret=KEY)
    assert KEY[-20:] not in f"{config!r} {config} {config.model_dump()} {LocalLLMClient(config)!r}"
