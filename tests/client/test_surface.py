from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import genesis_stack.client as package
from genesis_stack.client import LocalLLMClient, LocalLLMError, SyncLocalLLMClient, errors

HEAVY = ("httpx", "pydantic_settings", "rich", "opentelemetry", "tenacity", "http_message_signatures", "yaml")


def test_the_public_names_are_sorted_and_exist() -> None:
    """One list of what others may use; every name on it is there."""
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name


def test_every_error_is_public_and_in_the_tree() -> None:
    """Nobody catches what they cannot import, and the drawn tree has them all."""
    kinds = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, LocalLLMError)
    }
    assert kinds <= set(package.__all__)
    assert all(name in (errors.__doc__ or "") for name in kinds)


def test_importing_the_clients_loads_nothing_heavy() -> None:
    """A program that may never ask a model pays for no HTTP, settings or telemetry."""
    code = (
        "import sys; from genesis_stack.client import LocalLLMClient, SyncLocalLLMClient, LocalLLMError;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def _public(kind: type) -> dict[str, str]:
    """Public methods with their parameters."""
    return {
        name: str(inspect.signature(method).replace(return_annotation=inspect.Signature.empty))
        for name, method in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


def test_the_sync_twin_has_the_same_methods() -> None:
    """Same names, same parameters, same defaults."""
    assert _public(LocalLLMClient) == _public(SyncLocalLLMClient)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As from any module."""
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = package.Nonsense
