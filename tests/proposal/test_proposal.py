"""What is proposed for machines of every size, held against the arithmetic of `validate`."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec.stacks import ROOT

from genesis_stack.layout import Layout
from genesis_stack.modelstore.fit import fit
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.modelstore.memory import Shape
from genesis_stack.proposal.catalogue import CATALOGUE
from genesis_stack.proposal.machine import Machine, read_machine
from genesis_stack.proposal.proposal import NothingFitsError, Proposal, Wish, choices, propose
from genesis_stack.proposal.writing import as_checked_text, as_text
from genesis_stack.spec.load import load, loads
from genesis_stack.spec.units import parse_size

MIB, GIB = 1024**2, 1024**3
SHAPES = {digest: Shape(facts, estimated=True) for digest, facts in KNOWN.items()}


def machine(memory: int = 64 * GIB, cpus: float = 8, disk: int = 500 * GIB, *, fast: bool = True) -> Machine:
    """A machine."""
    host = LocalHost(memory, "installed", cpus, "processors we may use", "here", "")
    return Machine(
        host, disk, ("avx2", "fma"), fast, systemd=True, prometheus=False, ports=(8000, 8001, 8002)
    )


def wish(*tasks: str, users: int = 4, watched: bool = False) -> Wish:
    """A wish for the best models of these tasks."""
    return Wish("genesis", choices(tasks or ("text",)), users, watched)


def named(proposal: Proposal) -> list[str]:
    """The models that are proposed."""
    return [served.fitted.offer.name for served in proposal.models]


MACHINES = st.builds(
    machine,
    memory=st.one_of(st.integers(200, 4096), st.integers(4096, 600_000)).map(lambda count: count * MIB),
    cpus=st.one_of(st.sampled_from([0.1, 0.5, 1, 1.5, 2, 3]), st.integers(1, 256).map(float)),
    disk=st.integers(0, 2000).map(lambda count: count * GIB // 10),
    fast=st.booleans(),
)
WISHES = st.builds(
    lambda tasks, users, watched: wish(*tasks, users=users, watched=watched),
    st.sampled_from([("text",), ("vision",), ("text", "vision"), ("vision", "text")]),
    st.integers(1, 300),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(MACHINES, WISHES)
def test_what_is_proposed_is_valid_and_fits_its_machine(here: Machine, asked: Wish) -> None:
    """For every size of machine: no problem and no warning of validate, or the sum that shows why not."""
    try:
        proposal = propose(asked, here, SHAPES)
    except NothingFitsError as error:
        assert here.host.memory < 10 * GIB or here.disk < 10 * GIB
        assert error.hint  # noqa: PT017
        return
    stack = loads(as_text(proposal, SHAPES))
    found = fit(stack, SHAPES, here.host)
    assert (found.problems, found.warnings) == ((), ())
    assert all(model.engine.parallel <= asked.users for model in stack.models.values())


def test_a_machine_of_the_references_size_gets_the_reference_models() -> None:
    """16 GB and 6 cores: both models, with the context and the requests at once of the reference stack."""
    proposal = propose(wish("text", "vision"), machine(int(15.6 * GIB), 6), SHAPES)
    reference = load(ROOT / "stack.yaml")
    assert named(proposal) == list(reference.models)
    stack = loads(as_checked_text(proposal, SHAPES, "stack.yaml"))
    for name, model in reference.models.items():
        assert stack.models[name].engine.context >= model.engine.context
        assert stack.models[name].engine.parallel >= model.engine.parallel
        assert stack.models[name].budget.cpus == model.budget.cpus


@pytest.mark.parametrize(
    ("here", "why"),
    [
        (machine(2 * GIB), "left for models"),
        (machine(disk=2 * GIB), "of disk"),
        (machine(fast=False), "vector instructions"),
    ],
    ids=["little memory", "little disk", "an old processor"],
)
def test_a_small_machine_gets_the_small_model_and_the_reason(here: Machine, why: str) -> None:
    """The file itself says what was passed over."""
    proposal = propose(wish(), here, SHAPES)
    assert named(proposal) == ["smollm2-135m"]
    assert why in as_text(proposal, SHAPES).partition("api_version")[0]


def test_who_names_a_model_gets_it_on_an_old_processor_too() -> None:
    """Slow is a choice; only memory and disk are not."""
    (llama,) = (offer for offer in CATALOGUE if offer.name == "llama-3-1-8b")
    proposal = propose(Wish("x", ((llama,),), 1, watched=False), machine(fast=False), SHAPES)
    assert named(proposal) == ["llama-3-1-8b"]


def test_a_machine_too_small_for_anything_is_told_what_would_do() -> None:
    """And with as much memory as the hint says, it works."""
    with pytest.raises(NothingFitsError) as refused:
        propose(wish("vision"), machine(2 * GIB), SHAPES)
    enough = re.search(r"([0-9.]+)GiB", str(refused.value.hint))
    assert enough is not None
    assert named(propose(wish("vision"), machine(int(float(enough[1]) * GIB)), SHAPES)) == ["qwen3-vl-4b"]


def test_more_memory_never_gives_less() -> None:
    """Requests at once and their length grow with the machine."""
    worth = [
        (served.fitted.engine.parallel, served.fitted.engine.context)
        for size in range(7, 40)
        for served in propose(wish(users=16), machine(size * GIB), SHAPES).models
    ]
    assert worth == sorted(worth)
    assert worth[-1] == (16, 8192)


def test_the_catalogue_has_the_files_of_the_committed_stacks() -> None:
    """One model, one digest, wherever it is named."""
    committed = load(ROOT / "stack.yaml").models | load(ROOT / "examples/first-light/stack.yaml").models
    assert {offer.name for offer in CATALOGUE} == committed.keys()
    for offer in CATALOGUE:
        model = committed[offer.name]
        assert (offer.weights, offer.projector) == (model.weights, model.projector)
        assert (offer.description, offer.license, offer.task) == (
            model.description,
            model.license,
            model.task,
        )


def test_what_is_written_as_a_comment_is_valid_too() -> None:
    """Whoever removes the `#` before clients or monitoring has a stack that loads."""
    text = as_text(propose(wish("text", "vision"), machine(), SHAPES), SHAPES)
    for section in ("clients", "monitoring"):
        start = text.index(f"# {section}:\n")
        block = text[start:].partition("\n\n")[0].partition("\n#\n")[0]
        bare = "\n".join(line.removeprefix("# ") for line in block.splitlines())
        assert getattr(loads(text.replace(block, bare)), section)


def test_text_of_a_file_cannot_break_out_of_the_stack() -> None:
    """What a model file says of itself is quoted where YAML would act upon it."""
    odd = 'a "b": [c] # {d} \\ é'
    offer = replace(CATALOGUE[-1], description=odd, license="no")
    proposal = propose(Wish("x", ((offer,),), 1, watched=False), machine(), SHAPES)
    (model,) = loads(as_text(proposal, SHAPES)).models.values()
    assert (model.description, model.license) == (odd, "no")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("flags\t\t: fpu avx2 fma avx512f", ("avx2", "fma", "avx512f")),
        ("Features\t: fp asimddp", ("asimddp",)),
    ],
)
def test_the_processors_instructions_are_read(line: str, told: tuple[str, ...], tmp_path: Path) -> None:
    """x86 and ARM name them differently."""
    root = tmp_path
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    (root / "proc/meminfo").write_text("MemTotal:       4194304 kB\n")
    found = read_machine(Layout.under(root), root=root)
    assert found.instructions == told
    assert found.host.memory == 4 * GIB
    assert found.disk > 0


def test_the_first_hours_table_tells_what_is_proposed() -> None:
    """Row by row: the memory of a machine, and what it gets for 4 users."""
    page = (ROOT / "docs/start.md").read_text()
    rows = re.findall(r"^\| (\d+ [MG]iB)(.*?) \| (.*?), (\d+) requests of (\d+) tokens", page, re.MULTILINE)
    assert len(rows) > 4
    for size, tasks, names, parallel, context in rows:
        asked = wish("text", "vision") if "vision" in tasks else wish()
        proposal = propose(asked, machine(parse_size(size)), SHAPES)
        for served in proposal.models:
            assert (served.fitted.engine.parallel, served.fitted.engine.context) == (
                int(parallel),
                int(context),
            )
        known = {"SmolLM2 135M": ["smollm2-135m"], "Llama 3.1 8B": ["llama-3-1-8b"]}
        assert named(proposal) == known.get(names, ["llama-3-1-8b", "qwen3-vl-4b"])


def test_a_port_that_is_taken_is_not_proposed_unless_it_is_ours(tmp_path: Path) -> None:
    """What the applied stack listens on is taken over by the next one."""
    layout = Layout.under(tmp_path)
    with socket.socket() as listener:
        for port in read_machine(layout).ports:
            with contextlib.suppress(OSError):  # somebody else was faster
                listener.bind(("127.0.0.1", port))
                break
        listener.listen()
        taken = listener.getsockname()[1]
        assert taken not in read_machine(layout).ports
        assert taken in read_machine(layout, ours=(taken,)).ports
