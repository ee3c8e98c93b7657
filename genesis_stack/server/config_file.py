"""Reads the rendered configuration, and checks that its files are what it says."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from genesis_stack.protocol.serve_config import FileRef, ServeConfig


class ConfigError(Exception):
    """The file and the field at fault, and what is wrong; `exit_code` is of sysexits(3)."""

    def __init__(self, message: str, *, exit_code: int = os.EX_CONFIG) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A valid configuration with the SHA-256 of the bytes that it came from."""

    config: ServeConfig
    digest: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate. Raises ConfigError, with exit code 65 for a model file of another size."""
        try:
            content = path.read_bytes()
            config = ServeConfig.model_validate_json(content)
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from None
        except ValidationError as exc:
            problems = (
                f"{path}: {_field(error['loc'])}{error['msg']}" for error in exc.errors(include_url=False)
            )
            raise ConfigError("\n".join(problems)) from None
        if config.tracing is not None:
            _check_tracing(path)
        _check_file(path, "weights", config.weights)
        if config.projector is not None:
            _check_file(path, "projector", config.projector)
        if config.draft is not None:
            _check_file(path, "draft", config.draft)
        for name, adapter in config.adapters.items():
            _check_file(path, f"adapters.{name}", adapter)
        return cls(config, hashlib.sha256(content).hexdigest())


def _field(location: tuple[int | str, ...]) -> str:
    return "".join(f"{part}." for part in location).removesuffix(".") + ": " if location else ""


def _check_tracing(path: Path) -> None:
    """OpenTelemetry is an extra: who traces nothing need not install it."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        command = "pip install 'genesis-stack[tracing]'"
        raise ConfigError(f"{path}: tracing: OpenTelemetry is not installed here; {command}")


def _check_file(path: Path, field: str, ref: FileRef) -> None:
    """The store has verified the digest; the size tells whether it is still that file."""
    try:
        size = Path(ref.path).stat().st_size
    except OSError as exc:
        raise ConfigError(f"{path}: {field}.path: {ref.path}: {exc.strerror}") from None
    if ref.size is not None and size != ref.size:
        message = f"{path}: {field}.size: {ref.path} has {size} bytes, not {ref.size}"
        raise ConfigError(message, exit_code=os.EX_DATAERR)
