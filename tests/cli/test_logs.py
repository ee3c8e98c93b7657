"""`logs` is readable on a terminal, and food for programs in a pipe."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from genesis_stack.cli.logs import logs
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.protocol.log_entry import text_of

ENTRY = {
    "time": "2026-01-02T03:04:05.678+00:00",
    "level": "warning",
    "event": "request",
    "path": "/a\x1b[2J\nb",
    "status": 503,
}
LINES = [json.dumps(ENTRY), "a library's own words", '{"resourceSpans": []}', "3"]


def test_an_entry_is_one_line_without_control_characters() -> None:
    """Whatever a client sent cannot draw on the terminal."""
    line = text_of(ENTRY, colours=False)
    assert line.isprintable()
    assert line.endswith(r"warning request path='/a\x1b[2J\nb' status=503")


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with one model that has written these lines."""
    backend = SimpleNamespace(log_tail=lambda *_: LINES)
    generation = SimpleNamespace(
        services={"smol": None}, monitors={"front.gateway": None, "gitops.agent": None}
    )
    generations = SimpleNamespace(current=lambda: 1, load=lambda _: generation)
    host = SimpleNamespace(backend=backend, transaction=SimpleNamespace(generations=generations))
    monkeypatch.setattr("genesis_stack.cli.logs.open_host", lambda *_: host)


@pytest.mark.usefixtures("applied")
def test_a_pipe_gets_the_lines_as_they_were_written(capsys: pytest.CaptureFixture[str]) -> None:
    """For jq and its like."""
    logs.main(["smol"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == LINES


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("name", [[], ["front.gateway"], ["gitops.agent"]])
def test_all_that_is_applied_has_a_log(name: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The only model without a name, and what runs beside it."""
    logs.main(name, standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == LINES


@pytest.mark.usefixtures("applied")
def test_a_name_that_is_not_there_is_told_those_that_are() -> None:
    """Models and what runs beside them."""
    with pytest.raises(GenesisError, match=r"monitor\.grafana") as refused:
        logs.main(["monitor.grafana"], standalone_mode=False)
    assert refused.value.exit_code is ExitCode.USAGE
    assert refused.value.hint is not None
    assert all(name in refused.value.hint for name in ("smol", "front.gateway", "gitops.agent"))


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("no_color", [True, False])
def test_a_terminal_gets_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    """With colours unless NO_COLOR is set; what is no entry stays as it is."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    logs.main(["smol"], standalone_mode=False)
    entry, *others = capsys.readouterr().out.splitlines()
    assert entry == text_of(ENTRY, colours=not no_color)
    assert others == LINES[1:]
