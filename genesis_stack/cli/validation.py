"""Whether a stack is right and fits, apart from all that is needed to apply it: `validate` must be quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genesis_stack.layout import Layout

if TYPE_CHECKING:
    from genesis_stack.modelstore.verdict import Verdict
    from genesis_stack.spec.model import Stack


def validated(path: Path, layout: Layout, *, no_host: bool = False) -> tuple[Stack, Verdict]:
    """The validated stack and how its memory adds up; `no_host` leaves this machine out.

    Raises:
        GenesisError: it is no valid stack; every error is listed with its line.
    """
    from genesis_stack.modelstore.host import read_host
    from genesis_stack.modelstore.verdict import judge
    from genesis_stack.render.sandbox import refuse_lifted
    from genesis_stack.spec.load import load

    stack = load(path)
    refuse_lifted(stack)
    if stack.monitoring.tracing.exporter != "off" and not no_host:
        _need_opentelemetry(path)
    if any(alert.expr for alert in stack.alerts.values()):
        _lint_added(path, stack)
    return stack, judge(path, stack, layout, None if no_host else read_host())


def _need_opentelemetry(path: Path) -> None:
    """The servers run from this very environment; each would start, say so, and end."""
    from importlib.util import find_spec

    from genesis_stack.errors import ExitCode, GenesisError

    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise GenesisError(
            f"{path}: monitoring.tracing: OpenTelemetry is not installed here",
            hint="pip install 'genesis-stack[tracing]', or set exporter: off",
            exit_code=ExitCode.INVALID_CONFIG,
        )


def _lint_added(path: Path, stack: Stack) -> None:
    from genesis_stack.backends.added_rules import lint_added
    from genesis_stack.spec.problems import InvalidStackError

    if problems := lint_added(path, stack):
        raise InvalidStackError(problems)
