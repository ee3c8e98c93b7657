"""Every exit code, error, metric, alert, cause and variable has an entry on its page."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard, get_args

import pytest
import yaml

from docs.pages import DOCS, PAGES, ROOT
from genesis_stack.cli.main import VERBS
from genesis_stack.client import LocalLLMConfig, errors
from genesis_stack.doctor.diagnose import Cause
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.server.openapi import OPERATIONS
from genesis_stack.settings import Settings
from genesis_stack.spec.alerts import BUILT_IN

PACKAGE = ROOT / "genesis_stack"
NO_FAULT = {"client_closed"}
"""Codes that only logs and metrics see: nobody is left to read them."""


def page(name: str) -> str:
    """The text of one page."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> dict[str, str]:
    """First cell, without its backticks, to the rest of the row, of all tables."""
    found = re.findall(r"^\| ([^|]+?) \|(.*)\|$", text, re.MULTILINE)
    return {first.strip("` "): rest for first, rest in found}


@cache
def modules() -> dict[Path, ast.Module]:
    """Every module of the package, parsed, by its path in it."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def nodes(*rooms: str, but: Collection[str] = ()) -> Iterator[tuple[Path, ast.AST]]:
    """Everything that stands in these rooms, or in all of them."""
    for path, tree in modules().items():
        if (path.parts[0] in rooms or not rooms) and path.parts[0] not in but:
            yield from ((path, node) for node in ast.walk(tree))


OPERATORS, _, CLIENTS = page("errors.md").partition("## Of the client library")


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: code.name)
def test_every_exit_code_says_what_to_do(code: ExitCode) -> None:
    """What it means, and what to do then."""
    meaning, advice = rows(page("exit-codes.md"))[str(int(code))].split("|")
    assert meaning.strip()
    assert advice.strip()


def declared_errors() -> list[type[GenesisError]]:
    """GenesisError and every class below it, found in the source and imported."""
    names, found = {"GenesisError"}, [GenesisError]
    elsewhere = {"client", "engine", "server"}
    classes = [one for one in nodes(but=elsewhere) if isinstance(one[1], ast.ClassDef)]
    while fresh := [
        (path, node)
        for path, node in classes
        if node.name not in names and {b.id for b in node.bases if isinstance(b, ast.Name)} & names
    ]:
        for path, node in fresh:
            module = ".".join(("genesis_stack", *path.with_suffix("").parts))
            names.add(node.name)
            found.append(getattr(importlib.import_module(module), node.name))
    return found


@pytest.mark.parametrize("error", declared_errors(), ids=lambda error: error.__name__)
def test_every_error_of_the_operators_side_has_an_entry(error: type[GenesisError]) -> None:
    """With the exit code that it ends with."""
    code, *_ = rows(OPERATORS)[error.__name__].split("|")
    assert code.strip() == str(int(error.exit_code))


def test_every_error_of_the_client_library_has_an_entry() -> None:
    """And no entry, of either kind, is about one that is gone."""
    assert {name for name in rows(OPERATORS) if name.endswith("Error")} == {
        error.__name__ for error in declared_errors()
    }
    assert {name for name in rows(CLIENTS) if name.endswith("Error")} == {
        name for name, value in vars(errors).items() if isinstance(value, type) and name.endswith("Error")
    }


def api_codes() -> set[str]:
    """Every `code` that an answer of the server can have."""
    found = set()
    for _, node in nodes("server", "engine"):
        match node:
            case ast.keyword(arg="code", value=ast.Constant(value=str() as code)):
                found.add(code)
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                found |= {part.value for part in ast.walk(value) if _is_text(part)}
    return found - NO_FAULT


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_error_code_of_the_api_is_listed() -> None:
    """And no other."""
    listed = re.findall(r"^\| `(\w+)` \| \d{3}", page("api.md"), re.MULTILINE)
    assert set(listed) == api_codes()
    assert len(listed) == len(set(listed))


def test_every_metric_of_the_host_has_a_row() -> None:
    """What the exporter tells of the host and of its agent, by the names in the source."""
    named = {
        node.value
        for _, node in nodes("reconcile", "gitops", "cli")
        if _is_text(node) and re.fullmatch(r"genesis_(host|agent)_[a-z_]+", node.value)
    }
    listed = rows(page("metrics.md"))
    assert sorted(name for name in named if not {name, f"{name}_total"} & set(listed)) == []
    assert "genesis_host_drift" in named


def test_every_alert_has_a_row_with_its_severity() -> None:
    """Those that are built in, and those that the reference stack renders to."""
    rendered = yaml.safe_load((ROOT / "alerts/genesis.rules.yml").read_text(encoding="utf-8"))
    names = {rule["alert"] for group in rendered["groups"] for rule in group["rules"] if "alert" in rule}
    listed = rows(page("monitoring.md"))
    for alert in names | set(BUILT_IN):
        assert re.search(r"page|ticket|info", listed[alert].split("|")[0]), alert


@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_cause_that_doctor_finds_is_in_the_troubleshooting(cause: str) -> None:
    """What it is seen by and what heals it."""
    assert f"`{cause}`" in page("troubleshooting.md")


def variables() -> set[str]:
    """Every variable of the environment that the programs read."""
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "loadtests").glob("*.py")]
    named = {name for path in sources for name in re.findall(r"\"(GENESIS_[A-Z_]*[A-Z])\"", path.read_text())}
    journal = {"GENESIS_EVENT", "GENESIS_REQUEST_ID"}
    return (named - journal) | {f"GENESIS_{name.upper()}" for name in Settings.model_fields}


def test_every_variable_of_the_environment_is_on_a_page() -> None:
    """Settings of the tool, keys, and what the load test reads."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert [name for name in sorted(variables()) if name not in pages] == []


def test_every_room_of_the_package_is_on_the_map() -> None:
    """With what it does."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    told = set(re.findall(r"`(?:genesis_stack\.)?(\w+)`", page("architecture.md")))
    assert rooms - told <= {"client"}  # which is told by its whole name
    assert "genesis_stack.client" in page("architecture.md")


def test_every_verb_is_on_a_page() -> None:
    """As somebody types it."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [verb for verb in VERBS if f"genesis-stack {verb}" not in pages] == []


def test_every_route_is_in_the_table() -> None:
    """Of the server's API."""
    routes = {path.partition("{")[0].rstrip("/") for path in OPERATIONS}
    table = page("api.md").partition("## Sampling")[0].replace("…/count_tokens", "/v1/messages/count_tokens")
    assert [route for route in sorted(routes) if f"{route}`" not in table] == []
    for route in ("/openapi.json", "/docs"):
        assert f"`{route}`" in page("http.md")


def test_every_setting_of_the_client_library_is_in_its_table() -> None:
    """Under its name, as a keyword is written."""
    listed = {name for cell in rows(page("client.md")) for name in re.split(r"`, `", cell)}
    assert set(LocalLLMConfig.model_fields) - listed == set()
