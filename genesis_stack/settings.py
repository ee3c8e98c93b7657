"""Settings of the tool itself: flags over `GENESIS_*` environment over the configuration files.

The files are the user's `genesis-stack/config.yaml` below XDG_CONFIG_HOME over
/etc/genesis-stack/config.yaml. pydantic-settings, which takes its time to import, is asked only where
the environment says something.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from platformdirs import PlatformDirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.spec.document import Document, Positions, parse
from genesis_stack.spec.problems import InvalidStackError, Problem
from genesis_stack.spec.source import read
from genesis_stack.spec.verdict import problem_of

BackendName = Literal["systemd", "embedded"]

_PREFIX = "GENESIS_"
_BOOTED_SYSTEMD = Path("/run/systemd/system")
"""Present exactly where systemd is the running service manager; see sd_booted(3)."""


class InvalidSettingsError(GenesisError):
    """Settings that cannot be used, each with the flag, variable or line it comes from."""

    exit_code = ExitCode.INVALID_CONFIG

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = ["the settings of genesis-stack are invalid", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines), hint="flags win over GENESIS_* variables, those over config.yaml")


class Settings(BaseModel):
    """Where the tool keeps its tree, what runs the servers, and how it talks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path | None = Field(default=None, description="Keep everything below this directory.")
    backend: Literal["auto", "systemd", "embedded"] = Field(
        default="auto", description="What runs the servers; auto: systemd where it runs and we are root."
    )
    colour: Literal["auto", "always", "never"] = Field(
        default="auto", description="Colours; auto: on a terminal, unless NO_COLOR is set."
    )

    @property
    def runs_on(self) -> BackendName:
        """The backend that `auto` comes down to on this machine."""
        if self.backend != "auto":
            return self.backend
        return "systemd" if _BOOTED_SYSTEMD.is_dir() and os.geteuid() == 0 else "embedded"

    @property
    def users_for_want_of_root(self) -> bool:
        """Whether `auto` comes down to the user's own tree only because we are not root."""
        decided = self.root is not None or self.backend != "auto"
        return not decided and _BOOTED_SYSTEMD.is_dir() and os.geteuid() != 0

    @property
    def layout(self) -> Layout:
        """Where things are on disk: below `root`, else the system's tree or the user's, by backend."""
        if self.root is not None:
            return Layout.under(self.root.expanduser().resolve())
        return Layout.system() if self.runs_on == "systemd" else Layout.user()


def load_settings(*, files: Sequence[Path] | None = None, **flags: Any) -> Settings:
    """The settings in force.

    Args:
        files: configuration files, the strongest first; None means the user's and the system's.
        flags: settings from the command line by name; None means that the flag was not given.

    Raises:
        InvalidSettingsError: with every problem and where it comes from.
    """
    documents = [_document(path) for path in (_files() if files is None else files) if path.exists()]
    if problems := [problem for document in documents for problem in document.problems]:
        raise InvalidSettingsError(problems)
    origins = {key: document for document in reversed(documents) for key in document.content or {}}
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        from_files = {key: document.content[key] for key, document in origins.items()}
        return Settings.model_validate(from_files | _from_environment() | given)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InvalidSettingsError([_problem(detail, given, origins) for detail in details]) from None


def _files() -> tuple[Path, Path]:
    user = PlatformDirs("genesis-stack", appauthor=False).user_config_path
    return user / "config.yaml", Layout.system().config / "config.yaml"


def _document(path: Path) -> Document:
    try:
        document = parse(read(path))
    except InvalidStackError as error:
        raise InvalidSettingsError(error.problems) from None
    if document.content is None or isinstance(document.content, dict):
        return document
    wrong = Problem(document.name, 1, 1, "", "must be a mapping of `key: value` lines")
    return replace(document, content={}, problems=(*document.problems, wrong))


def _from_environment() -> dict[str, Any]:
    """What the `GENESIS_*` variables say, unchecked; an empty one says nothing."""
    if not any(f"{_PREFIX}{name.upper()}" in os.environ for name in Settings.model_fields):
        return {}
    from pydantic_settings import BaseSettings, EnvSettingsSource

    # Both bases say how unknown keys are taken, each in its own type.
    class Environment(BaseSettings, Settings):  # type: ignore[misc]
        pass

    return EnvSettingsSource(Environment, env_prefix=_PREFIX, env_ignore_empty=True)()


def _problem(detail: ErrorDetails, flags: dict[str, Any], origins: dict[str, Document]) -> Problem:
    """Say which flag, variable or line is wrong."""
    key = str(detail["loc"][0])
    variable = f"{_PREFIX}{key.upper()}"
    if key in flags:
        source = f"--{key.replace('_', '-')}"
    elif variable in os.environ:
        source = variable
    else:
        return problem_of(detail, origins[key], Settings)[1]
    nowhere = Document(source, None, complete=True, positions=Positions(), problems=(), merged=frozenset())
    return replace(problem_of(detail, nowhere, Settings)[1], line=0, column=0, path="")
