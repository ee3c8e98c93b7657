"""Stacks and saved plans as the verbs are given them."""

from __future__ import annotations

import json
from pathlib import Path

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.reconcile.apply import StalePlanError
from genesis_stack.reconcile.generations import digest
from genesis_stack.reconcile.steps import PLAN_KIND, SavedPlan
from genesis_stack.spec.model import Stack


def read_stack(path: Path, layout: Layout) -> tuple[Stack, str]:
    """This machine's part of the validated stack, which fits as far as its files are known, and its text.

    Raises:
        GenesisError: it is no valid stack, or it cannot fit; every error is listed with its line.
        NotAHostError: it names its hosts, and this machine is none of them.
    """
    from genesis_stack.cli.validation import validated
    from genesis_stack.modelstore.here import host_here
    from genesis_stack.modelstore.host import read_host
    from genesis_stack.spec.effective import on_host
    from genesis_stack.spec.problems import InvalidStackError

    stack, verdict = validated(path, layout)
    part = on_host(stack, host_here(stack, read_host()))
    if verdict.problems:
        raise InvalidStackError(verdict.problems)
    return part, path.read_text()


def read_saved_plan(path: Path) -> SavedPlan | None:
    """A plan that `plan -o` wrote; None when the file is something else.

    Raises:
        GenesisError: it is a plan, and a damaged one.
        StalePlanError: the stack that it was made from has changed.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.get("kind") != PLAN_KIND:
        return None
    try:
        saved = SavedPlan(str(data["stack"]), str(data["source"]), str(data["fingerprint"]))
        source = Path(saved.stack).read_text()
    except KeyError as error:
        hint = "make it again with `genesis-stack plan -o FILE`"
        raise GenesisError(
            f"{path}: a plan without {error}", hint=hint, exit_code=ExitCode.INVALID_CONFIG
        ) from None
    except OSError as error:
        raise StalePlanError(f"{path}: its stack cannot be read: {error}") from None
    if digest(source) != saved.source:
        raise StalePlanError(
            f"{saved.stack} changed since this plan was made", hint="make a new plan and read it"
        )
    return saved
