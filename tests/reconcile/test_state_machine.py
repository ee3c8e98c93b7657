"""Edit, plan, apply, kill, tamper, roll back, in any order: what must hold, holds after every step."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from genesis_stack import durable
from genesis_stack.backends import LintError
from genesis_stack.reconcile.drift import find_drift
from genesis_stack.reconcile.generations import Generations
from genesis_stack.reconcile.transaction import RolledBackError
from reconcile.fake_backend import BROKEN, REFUSED, FakeBackend
from reconcile.faults import Fault, KilledError
from reconcile.world import SECRET, World, source_of, stack_of

NAMES = st.sampled_from(["a", "b", "c"])
DESCRIPTIONS = st.sampled_from(["one", "two", "three"])
STACKS = st.dictionaries(NAMES, DESCRIPTIONS, min_size=1)


class Reconciler(RuleBasedStateMachine):
    """One host, whose operator does anything at any time.

    `serves` is what must be in force: None while an interruption leaves it open, between the two stacks of
    `open_between`.
    """

    @initialize()
    def begin(self) -> None:
        """A fresh host."""
        self.folder = Path(tempfile.mkdtemp(prefix="gs-machine-"))
        os.environ["GENESIS_API_KEY"] = SECRET
        self.world = World(self.folder)
        self.wanted: dict[str, str] = {"a": "one"}
        self.serves: dict[str, str] | None = {}
        self.open_between: tuple[dict[str, str], ...] = ()
        self.highest = 0
        self.tampered = False

    def teardown(self) -> None:
        """Leave nothing."""
        os.environ.pop("GENESIS_API_KEY", None)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(stack=STACKS)
    def edit(self, stack: dict[str, str]) -> None:
        """Write another stack."""
        self.wanted = stack

    @rule()
    def plan(self) -> None:
        """Looking changes nothing."""
        before = _files(self.folder)
        self.world.host.plan(stack_of(self.wanted), source_of(self.wanted))
        find_drift(self.world.host)
        assert _files(self.folder) == before

    @rule()
    def apply(self) -> None:
        """Arrives, and a second time there is nothing to do."""
        self.world.apply(self.wanted)
        self.world.check_settled(self.wanted)
        assert not self.world.apply(self.wanted)
        assert find_drift(self.world.host) == []
        self.settle(self.wanted)

    def settle(self, models: dict[str, str]) -> None:
        """From here on it is certain what serves."""
        self.serves, self.open_between, self.tampered = dict(models), (), False

    @rule(name=NAMES)
    def apply_broken(self, name: str) -> None:
        """A stack whose server never gets ready ends where it began, wherever that was."""
        broken = self.wanted | {name: BROKEN}
        with pytest.raises(RolledBackError):
            self.world.apply(broken)
        self.serves = self.world.serving() if self.serves is None else self.serves
        self.world.check_settled(self.serves)
        self.settle(self.serves)

    @precondition(lambda self: self.serves is not None and not self.tampered)
    @rule(name=NAMES)
    def apply_refused(self, name: str) -> None:
        """A stack that no lint lets pass touches nothing."""
        with pytest.raises(LintError):
            self.world.apply(self.wanted | {name: REFUSED})
        assert self.serves is not None
        self.world.check_settled(self.serves)

    @rule(at=st.integers(1, 60))
    def killed(self, at: int) -> None:
        """Die at some step of an apply: one of the two stacks will be in force, never a third."""
        before = self.open_between or (self.serves or {},)
        fault = Fault(at, KilledError())
        try:
            with durable.hooked(fault):
                self.world.apply(self.wanted)
        except KilledError:
            self.serves, self.open_between = None, (*before, dict(self.wanted))
        else:
            self.settle(self.wanted)

    @precondition(lambda self: self.world.on_disk())
    @rule(data=st.data(), remove=st.booleans())
    def tamper(self, data: st.DataObject, remove: bool) -> None:
        """Edit, or remove, one of our files by hand: drift tells it."""
        name = data.draw(st.sampled_from(sorted(self.world.on_disk())))
        path = self.world.layout.config / "models" / f"{name}.json"
        if remove:
            path.unlink()
        else:
            path.write_text(path.read_text().replace('"description": "', '"description": "edited '))
        self.tampered = True
        if self.serves is not None:
            assert any(one.target == str(path) for one in find_drift(self.world.host))

    @precondition(lambda self: (self.world.layout.config / "models").is_dir())
    @rule(name=NAMES)
    def drop_in(self, name: str) -> None:
        """A stranger's file that changes one of our services."""
        (self.world.layout.config / "models" / f"{name}.drop-in").write_text("foreign")
        self.tampered = True

    @rule(name=NAMES)
    def stop(self, name: str) -> None:
        """Stop a server behind our back."""
        FakeBackend(self.world.layout).stop(name)
        self.tampered = True

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        """Any generation that ever worked can be had again."""
        generations = Generations(self.world.layout)
        good = [
            number
            for number in generations.numbers()
            if (result := generations.result(number)) is not None and result.outcome == "applied"
        ]
        if not good:
            return
        number = data.draw(st.sampled_from(good))
        self.world.host.rollback(number)
        models = {name: _description(generations, number, name) for name in generations.info(number).services}
        self.world.check_settled(models)
        assert generations.current() == number
        self.settle(models)

    @invariant()
    def holds(self) -> None:
        """Always: parses, resolves, grows, loses no model, touches no stranger, keeps no secret."""
        if not hasattr(self, "world"):
            return
        self.world.check_always()
        numbers = Generations(self.world.layout).numbers()
        assert max(numbers, default=0) >= self.highest
        self.highest = max(numbers, default=0)
        assert not any(SECRET.encode() in content for content in _files(self.folder).values())
        if self.serves is not None and not self.tampered:
            assert self.world.serving() == self.serves
        elif self.serves is None and not self.tampered:
            told = {name: text for stack in self.open_between for name, text in stack.items()}
            assert set(self.world.serving()) <= set(told)


def _description(generations: Generations, number: int, name: str) -> str:
    (content,) = (
        file.content for path, file in generations.load(number).files.items() if path.name == f"{name}.json"
    )
    return str(json.loads(content)["description"])


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


TestReconciler = Reconciler.TestCase
TestReconciler.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
