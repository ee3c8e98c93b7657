"""How a client is set up: by arguments, by `GENESIS_LLM_*` variables, or from a stack file.

Nested settings take two underscores: `GENESIS_LLM_TIMEOUTS__DEADLINE=30`. Endpoints are JSON, or plain
`http://127.0.0.1:8000` or `model=http://127.0.0.1:8000`, several of them with commas between.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from genesis_stack.client.errors import ConfigurationError
from genesis_stack.protocol.keys import ClientKey

Task = Literal["text", "vision", "embedding", "rerank"]

MIB: Final = 1024 * 1024


def _base_url(value: object) -> object:
    """The address without a trailing `/v1`: OpenAI's SDK wants it, and people paste it."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password: use api_key, or hmac_secret")
    if parts.query or parts.fragment:
        raise ValueError("must not carry a query or fragment")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def _endpoints(value: object) -> object:
    """A list, JSON text of one, or `url` and `model=url` with commas between."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return json.loads(text)
    return [_endpoint(entry) for entry in text.split(",") if entry.strip()]


def _endpoint(entry: str) -> dict[str, str]:
    before, separator, after = entry.strip().partition("=")
    return {"model": before, "url": after} if separator and "://" not in before else {"url": entry.strip()}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Endpoint(_Section):
    """One server of one model; several of the same model are its replicas.

    Without `model`, the server is asked for its models when the client first needs to know.
    """

    url: Annotated[str, BeforeValidator(_base_url)]
    model: str | None = None
    task: Task = "text"
    tags: tuple[str, ...] = ()
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="digest of its weights; checked before use"
    )


class RetryPolicy(_Section):
    """Attempts of one call, and the seconds between them."""

    attempts: int = Field(default=3, ge=1, le=100)
    initial: float = Field(default=0.5, ge=0, description="bound of the first wait; it doubles")
    cap: float = Field(default=60.0, ge=0, description="longest wait, also where a server asks for more")


class BreakerPolicy(_Section):
    """When a server is left alone, and for how many seconds."""

    failures: int = Field(default=5, ge=1)
    open_for: float = Field(default=60.0, gt=0)


class Timeouts(_Section):
    """Seconds. `deadline` is for a whole call, with retries, waiting and streaming."""

    connect: float = Field(default=5.0, gt=0)
    first_token: float | None = Field(default=None, gt=0, description="silence of a stream before it begins")
    between_tokens: float = Field(default=60.0, gt=0, description="silence of a stream once it has begun")
    deadline: float = Field(default=600.0, gt=0)


class Routing(_Section):
    """Which server gets a request."""

    default_model: str | None = Field(default=None, description="for calls that name no model")
    fallbacks: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="models to ask, in order, when a model is unavailable"
    )
    affinity: bool = Field(default=True, description="send what begins alike to the same replica")
    affinity_slack: int = Field(
        default=2, ge=0, description="requests by which that replica may be busier than the idlest"
    )
    hedge_after: float | None = Field(
        default=None, gt=0, description="seconds after which a second replica is asked too"
    )


class LocalLLMConfig(BaseSettings):
    """Everything that a client knows. Secrets may be given as values or as files; neither is ever shown."""

    model_config = SettingsConfigDict(
        env_prefix="GENESIS_LLM_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    endpoints: Annotated[tuple[Endpoint, ...], NoDecode, BeforeValidator(_endpoints)] = Field(min_length=1)
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    hmac_secret: SecretStr | None = Field(default=None, description="signs requests (RFC 9421)")
    key_id: str | None = Field(default=None, description="names a secret that is no `gk_…` key")
    hmac_secret_file: Path | None = None
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    routing: Routing = Routing()
    cached_answers: int = Field(
        default=0, ge=0, le=100_000, description="answers kept to stand in when every model is unavailable"
    )
    image_hosts: tuple[str, ...] = Field(
        default=(), description="hosts that images may be fetched from, by this client; absent: none"
    )
    max_image_bytes: int = Field(default=10 * MIB, ge=1)
    max_response_bytes: int = Field(default=64 * MIB, ge=1)
    max_connections: int = Field(default=100, ge=1)
    ca_file: Path | None = Field(default=None, description="PEM certificates to trust besides the system's")
    capture_content: bool = Field(
        default=False, description="put prompts and answers into spans; nowhere else in any case"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, values: Any) -> Any:
        """Secrets from files: what systemd hands to a service, and what no process list shows."""
        if not isinstance(values, dict):
            return values
        found = dict(values)
        for name in ("api_key", "hmac_secret"):
            path = found.get(f"{name}_file")
            if path is not None and found.get(name) is None:
                found[name] = _secret(Path(path), name)
        return found

    @model_validator(mode="after")
    def _fits_into_a_header(self) -> Self:
        key = "" if self.api_key is None else self.api_key.get_secret_value()
        if not all("!" <= character <= "~" for character in key):
            raise ValueError("api_key has characters that no key has: spaces, line breaks or non-ASCII")
        return self

    @model_validator(mode="after")
    def _signs_with_a_name(self) -> Self:
        if self.hmac_secret is not None and self.key_id is None:
            try:
                ClientKey.parse(self.hmac_secret.get_secret_value())
            except ValueError:
                raise ValueError("hmac_secret is no key of genesis-stack (gk_…): give its key_id") from None
        return self

    @classmethod
    def build(cls, **settings: Any) -> LocalLLMConfig:
        """Settings over environment.

        Raises:
            ConfigurationError: with every problem, the variable to set, and no value.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            problems = "; ".join(_problem(detail["loc"], detail["msg"]) for detail in error.errors())
        except (OSError, ValueError) as error:
            problems = str(error)
        raise ConfigurationError(
            f"the client's settings are invalid: {problems}",
            remedy="give them to LocalLLMConfig or in GENESIS_LLM_* variables",
        )


def _secret(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_file cannot be read: {error.__class__.__name__} at {path}") from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    path = ".".join(map(str, location))
    return f"{path}: {message}" if path else message
