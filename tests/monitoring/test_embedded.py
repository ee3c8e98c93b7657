from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.backends.embedded import EmbeddedBackend
from genesis_stack.layout import Layout
from genesis_stack.render import as_declared
from monitoring.stacks import EVERY_WAY, stack


@pytest.fixture
def backend(tmp_path: Path) -> EmbeddedBackend:
    """An embedded backend below a directory of its own."""
    return EmbeddedBackend(Layout.under(tmp_path))


def inis(backend: EmbeddedBackend) -> set[str]:
    """Names of what the arbiter would run for a stack with everything."""
    about = stack(alertmanager=EVERY_WAY)
    files = backend.render(about, as_declared(about, backend.layout))
    return {file.path.stem for file in files if file.path.parent.name == "circus.d"}


def test_without_prometheus_the_rest_goes_on_and_it_is_told(
    backend: EmbeddedBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First light needs nothing but Python: what is not installed is a note, not an error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert inis(backend) == {"a", "b", "monitor.exporter"}
    assert [note.partition(" ")[0] for note in backend.unenforced[-2:]] == [
        "monitor.alertmanager",
        "monitor.prometheus",
    ]
    assert [one.name for one in backend.monitors(stack(alertmanager=EVERY_WAY))] == ["monitor.exporter"]


def test_what_is_installed_is_supervised(
    backend: EmbeddedBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the user's PATH, in the order in which they start."""
    for name in ("prometheus", "prometheus-alertmanager"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert inis(backend) == {"a", "b", "monitor.exporter", "monitor.alertmanager", "monitor.prometheus"}
    names = [one.name for one in backend.monitors(stack(alertmanager=EVERY_WAY))]
    assert names == ["monitor.exporter", "monitor.alertmanager", "monitor.prometheus"]
