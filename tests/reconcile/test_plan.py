"""Cases as data: a host and a stack in, the plan's steps out; the case without a difference expects none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack.backends import Desired, Foreign, Listener, Observation, ObservedService, Phase, Service
from genesis_stack.reconcile.plan import Situation, make_plan
from genesis_stack.reconcile.steps import Action, to_text
from genesis_stack.render import RenderedFile
from reconcile.services import CONFIG, MIB, SOCKET, service

OLD = PurePosixPath("/etc/old.json")


def desired(content: str = "new", *services: Service) -> Desired:
    """A config and a socket file of model a."""
    files = {CONFIG: RenderedFile(CONFIG, content, 0o644, ""), SOCKET: RenderedFile(SOCKET, "s", 0o644, "")}
    return Desired("s", content, files, {one.model: one for one in services or (service(),)}, ())


def seen(content: str | None = "new", *, socket: str | None = "s", **running: object) -> Observation:
    """A host where model a runs."""
    one = ObservedService(Phase.RUNNING, pid=7)
    return Observation(
        {CONFIG: content, SOCKET: socket, OLD: None},
        {CONFIG: 0o644, SOCKET: 0o644},
        {"a": replace(one, **running)},  # type: ignore[arg-type]  # fields by name
    )


def situation(**changes: object) -> Situation:
    """A host in sync, but for these changes."""
    base = Situation(desired(), desired(), 1, seen())
    return replace(base, **changes)  # type: ignore[arg-type]  # fields by name


def tells(text: str, words: str) -> bool:
    """Whether these stand in a text, in this order and with anything between them where the sign … is."""
    return re.search(".*".join(map(re.escape, words.split(" … "))), text) is not None


WRITE, RELOAD = "write /etc/a.json: ", "reload process manager: boot"
ABSENT = ObservedService(Phase.ABSENT, listening=False, enabled=False)
CASES: dict[str, tuple[Situation, list[str]]] = {
    "nothing to do": (situation(), []),
    "a fresh host": (
        situation(
            previous=Desired.nothing(),
            base=None,
            seen=replace(seen(None, socket="s"), services={"a": ABSENT}),
        ),
        [f"{WRITE}new", RELOAD, "start a: new"],
    ),
    "a lost record": (
        situation(previous=Desired.nothing(), base=None),
        ["record current: no generation"],
    ),
    "the stack changed": (
        situation(previous=desired("old"), seen=seen("old")),
        [f"{WRITE}stack", RELOAD, "restart a: a.json"],
    ),
    "a mode of one file and what is in the next": (
        situation(seen=replace(seen(socket="t"), modes={SOCKET: 0o644})),
        [
            "release a: port",
            f"{WRITE}0000 … 0644",
            "write /etc/a.socket: edited",
            RELOAD,
            "start a: port",
        ],
    ),
    "a file that nobody wrote before": (
        situation(previous=Desired.nothing(), seen=seen("theirs")),
        [f"{WRITE}not as", RELOAD, "restart a: a.json"],
    ),
    "a server that nobody has seen": (
        situation(
            desired=desired("new", replace(service(), restart_on=(), reread=(CONFIG,))),
            seen=replace(seen("mine"), services={}),
        ),
        [f"{WRITE}edited", "start a: not run"],
    ),
    "edited by hand": (
        situation(seen=seen("mine")),
        [f"{WRITE}edited", RELOAD, "restart a: a.json"],
    ),
    "removed by hand": (
        situation(seen=seen(None)),
        [f"{WRITE}missing", RELOAD, "restart a: a.json"],
    ),
    "another mode": (
        situation(seen=replace(seen(), modes={CONFIG: 0o600, SOCKET: 0o644})),
        [f"{WRITE}0600 … 0644", RELOAD, "restart a: a.json"],
    ),
    "stopped": (situation(seen=seen(phase=Phase.STOPPED)), ["start a: stopped"]),
    "failed": (situation(seen=seen(phase=Phase.FAILED)), ["start a: failed"]),
    "gone from the process manager": (
        situation(seen=replace(seen(socket="t"), services={"a": ABSENT})),
        ["write /etc/a.socket: edited", RELOAD, "start a: not run"],
    ),
    "a closed port": (situation(seen=seen(listening=False)), ["restart a: port … closed"]),
    "a server that has the change already": (
        situation(seen=seen("mine"), settled=("a",)),
        [f"{WRITE}edited", RELOAD],
    ),
    "a file that is read before each request": (
        situation(
            desired=desired("new", replace(service(), restart_on=(), reread=(CONFIG,))), seen=seen("mine")
        ),
        [f"{WRITE}edited", "reread a: a.json"],
    ),
    "disabled": (situation(seen=seen(enabled=False)), [RELOAD]),
    "not read": (situation(seen=seen(stale=True)), [RELOAD]),
    "a changed limit": (
        situation(seen=seen(limits={"MemoryMax": ("1", "2")})),
        ["restart a: MemoryMax … 2 … 1"],
    ),
    "a drop-in that opened its port to others": (
        situation(seen=replace(seen(), foreign=(Foreign(Path("/etc/a.socket.d/x.conf"), "a", "x"),))),
        [
            "release a: else … port",
            "set aside /etc/a.socket.d/x.conf: not ours",
            RELOAD,
            "start a: else … port",
        ],
    ),
    "a drop-in": (
        situation(seen=replace(seen(), foreign=(Foreign(Path("/etc/x.conf"), "a", "x"),))),
        [
            "set aside /etc/x.conf: not ours",
            RELOAD,
            "restart a: stranger",
        ],
    ),
    "a swapped model file": (
        situation(missing={"a": "it changed"}),
        ["fetch a: it changed", "restart a: model file"],
    ),
    "a model file that was just fetched": (
        situation(fetched=("a",)),
        ["restart a: model file"],
    ),
    "new weights that were just fetched, and room for two": (
        situation(
            desired=desired("new", service(strategy="blue_green")),
            seen=seen("old"),
            fetched=("a",),
            room=200 * MIB,
        ),
        [f"{WRITE}edited", RELOAD, "replace a: a.json"],
    ),
    "an interrupted restart": (
        situation(unfinished=("a",)),
        ["restart a: interrupted"],
    ),
    "another port": (
        situation(desired=desired("new", service(port=2))),
        [
            "release a: 127.0.0.1:1 … 127.0.0.1:2",
            RELOAD,
            "start a: 127.0.0.1:1 … 127.0.0.1:2",
        ],
    ),
    "another socket file": (
        situation(seen=seen(socket="t")),
        [
            "release a: port",
            "write /etc/a.socket: edited",
            RELOAD,
            "start a: port",
        ],
    ),
    "a model less": (
        situation(
            previous=desired("new", service(), service("b")),
            inventory=(OLD,),
            seen=replace(seen(), files={CONFIG: "new", SOCKET: "s", OLD: "old"}),
        ),
        ["release b: no longer", "delete /etc/old.json: no longer", RELOAD],
    ),
    "room for two": (
        situation(desired=desired("new", service(strategy="blue_green")), seen=seen("old"), room=200 * MIB),
        [f"{WRITE}edited", RELOAD, "replace a: a.json"],
    ),
    "room for two, and one that may not run": (
        situation(desired=desired("new", service(strategy="blue_green")), unfinished=("a",), room=200 * MIB),
        ["restart a: interrupted"],
    ),
    "room for exactly two": (
        situation(desired=desired("new", service(strategy="blue_green")), seen=seen("old"), room=100 * MIB),
        [f"{WRITE}edited", RELOAD, "replace a: a.json"],
    ),
    "no room for two": (
        situation(desired=desired("new", service(strategy="blue_green")), seen=seen("old"), room=99 * MIB),
        [f"{WRITE}edited", RELOAD, "restart a: a.json"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_plan_of(case: str) -> None:
    """Every case gives exactly these steps, in this order, each with its reason."""
    given, expected = CASES[case]
    steps = make_plan(given).steps
    assert [f"{step.action} {step.target}" for step in steps] == [line.split(": ")[0] for line in expected]
    for step, line in zip(steps, expected, strict=True):
        assert tells(step.reason, line.partition(": ")[2])


CONSEQUENCES: dict[str, tuple[Situation, dict[str, str]]] = {
    "a stop": (
        situation(seen=seen(phase=Phase.STOPPED), load_seconds={"a": 0.2}),
        {"start": "serves a … 127.0.0.1:1 … about 1 s"},
    ),
    "a start that was never timed": (
        situation(seen=seen(phase=Phase.STOPPED)),
        {"start": "serves a … 127.0.0.1:1 … as long"},
    ),
    "another port": (
        CASES["another port"][0],
        {
            "release": "clients … refused",
            "start": "serves a … 127.0.0.1:2 … as long",
        },
    ),
    "a model less": (CASES["a model less"][0], {"release": "closes for good"}),
    "room for two": (
        CASES["room for two"][0],
        {"replace": "beside … nobody waits"},
    ),
    "no restart": (
        CASES["a file that is read before each request"][0],
        {"reread": "no restart … nobody waits"},
    ),
    "a remark": (
        situation(seen=seen("mine"), remarks={CONFIG: "less memory"}, load_seconds={"a": 7.6}),
        {"write": "less memory", "restart": "clients queue … about 8 s"},
    ),
}


@pytest.mark.parametrize("case", CONSEQUENCES)
def test_a_step_says_what_it_means_for_clients(case: str) -> None:
    """Whether they wait, for how long, or are refused: that is what an operator decides by."""
    given, expected = CONSEQUENCES[case]
    told = {step.action: step.consequence for step in make_plan(given).steps if step.consequence}
    assert told.keys() == expected.keys()
    for action, words in expected.items():
        assert tells(told[Action(action)], words), told


def test_every_file_shows_what_changes_in_it() -> None:
    """A new one comes from nowhere, one that goes ends there, and so does a stranger's."""
    given = situation(
        inventory=(OLD,),
        seen=replace(
            seen(None, socket="t"),
            files={CONFIG: None, SOCKET: "t", OLD: "old\n"},
            foreign=(Foreign(Path("/etc/x.conf"), "a", "x\ny\n"),),
        ),
    )
    assert {step.target: step.diff.splitlines() for step in make_plan(given).steps if step.diff} == {
        "/etc/a.json": ["--- /dev/null", "+++ /etc/a.json", "@@ -0,0 +1 @@", "+new"],
        "/etc/a.socket": ["--- /etc/a.socket", "+++ /etc/a.socket", "@@ -1 +1 @@", "-t", "+s"],
        "/etc/old.json": ["--- /etc/old.json", "+++ /dev/null", "@@ -1 +0,0 @@", "-old"],
        "/etc/x.conf": ["--- /etc/x.conf", "+++ /dev/null", "@@ -1,2 +0,0 @@", "-x", "-y"],
    }


def test_several_changed_files_are_one_reason() -> None:
    """One restart for all of them."""
    both = replace(service(), restart_on=(CONFIG, SOCKET), rebind_on=())
    plan = make_plan(situation(desired=desired("new", both), seen=seen("mine", socket="t")))
    (reason,) = (step.reason for step in plan.steps if step.action is Action.RESTART)
    assert tells(reason, "a.json … a.socket")


def test_a_secret_that_is_missing_blocks_and_says_where_it_belongs() -> None:
    """Nothing is done by halves: the server would not start."""
    plan = make_plan(situation(secrets={"b-key": "/etc/secrets/b", "a-key": "/etc/secrets/a"}))
    assert ["a-key" in plan.blockers[0], "/etc/secrets/a" in plan.blockers[0]] == [True, True]
    assert "b-key" in plan.blockers[1]


def test_a_port_that_another_process_holds_blocks_and_names_it() -> None:
    """Nothing that is not ours is ever killed: the message says whose it is."""
    for pid, remedy in ((4711, "kill 4711"), (None, "ask its user")):
        listener = Listener(1, pid, "nginx", 0)
        plan = make_plan(situation(seen=replace(seen(), listeners={1: listener})))
        (blocker,) = plan.blockers
        assert str(listener) in blocker
        assert remedy in blocker
        assert not plan.empty


def test_notes_go_with_steps_and_a_plan_names_its_stack() -> None:
    """What this machine cannot do is of interest to whoever changes something on it."""
    plan = make_plan(situation(seen=seen("mine"), notes=("no sandbox",)))
    assert (plan.name, plan.notes) == ("s", ("no sandbox",))
    assert make_plan(situation(notes=("no sandbox",))).notes == ()


def test_one_model_goes_first_and_the_rest_together() -> None:
    """A change that breaks every model is noticed while all but one still serve."""
    models = [service(name, port=index) for index, name in enumerate("abcd", 1)]
    running = {one.model: ObservedService(Phase.STOPPED) for one in models}
    given = situation(desired=desired("new", *models), seen=replace(seen(), services=running))
    assert [step.wave for step in make_plan(given).steps if step.action is Action.START] == [1, 2, 2, 2]


def test_nothing_to_do_is_one_line() -> None:
    """Whoever runs it from cron reads exactly that."""
    assert to_text(make_plan(situation(notes=("no sandbox",)))) == "Nothing to do.\n"


def test_the_diff_and_the_consequence_are_shown() -> None:
    """Lines that go and come, and for how long clients wait."""
    given = situation(previous=desired("old"), seen=seen("old"), load_seconds={"a": 4.2})
    text = to_text(make_plan(given))
    assert "    -old\n    +new" in text
    assert tells(text, "clients queue … about 4 s")


def test_the_fingerprint_follows_what_would_be_done() -> None:
    """The same plan of the same place is the same; any other difference makes a saved one stale."""
    one = make_plan(situation(seen=seen("mine")))
    assert one.fingerprint == make_plan(situation(seen=seen("mine"))).fingerprint
    assert one.fingerprint != make_plan(situation(seen=seen("theirs"))).fingerprint
    assert one.fingerprint != make_plan(situation(seen=seen("mine"), base=2)).fingerprint
