"""The programs that watch, in plans: pure, like the plans of servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack.backends import (
    Desired,
    Foreign,
    Listener,
    Monitor,
    Observation,
    ObservedService,
    Phase,
    Reader,
)
from genesis_stack.reconcile.monitors import loaded
from genesis_stack.reconcile.plan import Situation, make_plan
from genesis_stack.reconcile.steps import Action, Plan
from genesis_stack.render import RenderedFile

UNIT, RULES = PurePosixPath("/u/prometheus.service"), PurePosixPath("/c/genesis.rules.yml")
GOOD, WHEN = "x_config_last_reload_successful", "x_config_last_reload_success_timestamp_seconds"
MONITOR = Monitor("monitor.prometheus", "127.0.0.1", 9090, reload_on=(RULES,), restart_on=(UNIT,))


def desired(unit: str = "u", rules: str = "r") -> Desired:
    """A host with this one program, and no servers."""
    files = {path: RenderedFile(path, text, 0o644, "") for path, text in ((UNIT, unit), (RULES, rules))}
    return Desired("t", "", files, {}, (), {MONITOR.name: MONITOR})


def situation(after: Desired, before: Desired, phase: Phase = Phase.RUNNING) -> Situation:
    """A host that has what `before` says."""
    texts = {path: file.content for path, file in before.files.items()}
    modes = {path: file.mode for path, file in before.files.items()}
    seen = Observation(texts, modes, {}, monitors={MONITOR.name: ObservedService(phase)})
    return Situation(desired=after, previous=before, base=1, seen=seen)


def shown(plan: Plan) -> list[tuple[Action, str]]:
    """Steps without those of files."""
    return [(step.action, step.reason) for step in plan.steps if step.action is not Action.WRITE]


def test_nothing_to_do_is_no_step() -> None:
    """It runs, and its files are as they must be."""
    assert make_plan(situation(desired(), desired())).empty


def test_a_changed_rule_is_a_reload() -> None:
    """Without a gap."""
    steps = shown(make_plan(situation(desired(rules="new"), desired())))
    action, reason = steps[-1]
    assert action is Action.RELOAD_MONITOR
    assert RULES.name in reason
    assert Action.STOP_MONITOR not in dict(steps)


def test_a_changed_unit_stops_it_before_the_files_change_and_starts_it_last() -> None:
    """So that the process manager never sees a half."""
    plan = make_plan(situation(desired(unit="new"), desired()))
    actions = [step.action for step in plan.steps]
    assert actions == [Action.STOP_MONITOR, Action.WRITE, Action.RELOAD, Action.START_MONITOR]
    assert {step.target for step in plan.steps[::3]} == {MONITOR.name}


def disturbed(how: str) -> Situation:
    """One that somebody else has changed while it runs."""
    given = situation(desired(), desired())
    if how == "limit":
        one = ObservedService(Phase.RUNNING, limits={"MemoryMax": ("1", "2")})
        return replace(given, seen=replace(given.seen, monitors={MONITOR.name: one}))
    foreign = Foreign(Path("/u/prometheus.service.d/x.conf"), MONITOR.name, "[Service]")
    return replace(given, seen=replace(given.seen, foreign=(foreign,)))


@pytest.mark.parametrize(("how", "why"), [("limit", "MemoryMax is 2, must be 1"), ("drop-in", "stranger")])
def test_what_somebody_else_changed_of_it_is_undone_by_starting_it_anew(how: str, why: str) -> None:
    """A file that is set aside, or a limit that is put back, means nothing to a process that runs on."""
    plan = make_plan(disturbed(how))
    others = [Action.SET_ASIDE, Action.RELOAD] if how == "drop-in" else []
    assert [step.action for step in plan.steps] == [Action.STOP_MONITOR, *others, Action.START_MONITOR]
    assert all(why in step.reason for step in plan.steps if step.action not in others)


@pytest.mark.parametrize("how", ["limit", "drop-in"])
def test_the_gateway_is_started_anew_without_being_stopped_first(how: str) -> None:
    """Everybody's requests pass there."""
    given = disturbed(how)
    front = replace(MONITOR, front=True)
    steady = replace(given, desired=replace(given.desired, monitors={MONITOR.name: front}))
    actions = [step.action for step in make_plan(steady).steps]
    assert Action.STOP_MONITOR not in actions
    assert actions[-1] is Action.START_MONITOR


@pytest.mark.parametrize("phase", [Phase.STOPPED, Phase.FAILED, Phase.ABSENT])
def test_one_that_does_not_run_is_started(phase: Phase) -> None:
    """Whatever the reason."""
    assert Action.START_MONITOR in dict(shown(make_plan(situation(desired(), desired(), phase))))


def test_one_that_left_the_stack_is_stopped_also_when_nobody_saw_it_run() -> None:
    """As on the way back from an apply that failed."""
    gone = situation(Desired("t", "", {}, {}, ()), desired())
    blind = replace(gone, seen=replace(gone.seen, monitors={}))
    for one in (gone, blind):
        assert Action.STOP_MONITOR in dict(shown(make_plan(one)))


def test_an_interrupted_run_may_not_have_reloaded_it() -> None:
    """Its files are in place already, and it is reloaded all the same."""
    plan = make_plan(replace(situation(desired(), desired()), unfinished=(MONITOR.name,)))
    assert Action.RELOAD_MONITOR in dict(shown(plan))


def test_a_stranger_on_its_port_blocks_the_plan_and_is_named() -> None:
    """Such as the one that Debian's package starts."""
    one = situation(desired(), desired(), Phase.STOPPED)
    holder = Listener(9090, 7, "prometheus", 0)
    plan = make_plan(replace(one, seen=replace(one.seen, listeners={9090: holder})))
    assert "9090" in plan.blockers[0]
    assert "mode: external" in plan.blockers[0]
    front = replace(one.desired, monitors={MONITOR.name: replace(MONITOR, front=True)})
    plan = make_plan(replace(one, desired=front, seen=replace(one.seen, listeners={9090: holder})))
    assert "gateway" in plan.blockers[0]


def test_one_that_nobody_has_seen_yet_is_started() -> None:
    """As on a host where nothing was applied before."""
    given = situation(desired(), desired())
    plan = make_plan(replace(given, seen=replace(given.seen, monitors={})))
    assert [step.action for step in plan.steps] == [Action.RELOAD, Action.START_MONITOR]


def test_a_prometheus_that_runs_already_is_told_of_changed_and_removed_files() -> None:
    """And of nothing else."""
    reader = Reader("http://127.0.0.1:1/-/reload", (RULES,))
    outside = replace(desired(), monitors={}, reader=reader)
    changed = replace(desired(rules="new"), monitors={}, reader=reader)
    removed = Desired("t", "", {}, {}, ())
    for after in (changed, removed):
        assert RULES.name in dict(shown(make_plan(situation(after, outside))))[Action.TELL]
    assert make_plan(situation(outside, outside)).empty


@pytest.mark.parametrize(
    ("metrics", "good"),
    [
        (None, False),
        ({"up": 1.0}, True),
        ({GOOD: 0.0}, False),
        (
            {GOOD: 1.0, WHEN: 99.0},
            False,
        ),
        (
            {GOOD: 1.0, WHEN: 100.5},
            True,
        ),
    ],
)
def test_a_configuration_counts_once_it_was_taken(metrics: dict[str, float] | None, *, good: bool) -> None:
    """Not answering, refused, and taken before it was asked for are all not yet."""
    assert loaded(metrics, since=100.0) is good
