"""Loading a stack: what a good one becomes, and what files that are no stack do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis_stack.errors import ExitCode
from genesis_stack.spec.document import MOST_VALUES
from genesis_stack.spec.load import load, loads
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import MOST_PROBLEMS, InvalidStackError, Problem
from spec.stacks import COMMITTED, DIGEST, ROOT, SMALL, changed, small, with_lines


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_the_committed_stacks_are_valid(path: Path) -> None:
    """What a new user starts from has no problem."""
    assert load(path).models


def test_the_reference_stack_pins_the_published_digests() -> None:
    """The models of the reference are the ones that were published."""
    models = load(ROOT / "stack.yaml").models
    assert {name: model.port for name, model in models.items()} == {"llama-3-1-8b": 8000, "qwen3-vl-4b": 8001}
    assert models["llama-3-1-8b"].weights.sha256.startswith("c2f17f44af96")
    assert models["qwen3-vl-4b"].weights.sha256.startswith("d4dcd426bfba")
    projector = models["qwen3-vl-4b"].projector
    assert projector is not None
    assert projector.sha256.startswith("1b9f4e92f0fb")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_a_dumped_stack_loads_as_the_same_stack(path: Path) -> None:
    """A stored generation is read back without loss."""
    stack = load(path)
    assert Stack.model_validate_json(stack.model_dump_json()) == stack


def test_models_know_what_holds_for_them() -> None:
    """Defaults and the stack's sandbox are filled in; what a model says itself wins, setting by setting."""
    stack = loads(
        with_lines(
            "    rollout: {deadline: 9m}\n"
            "    security: {directives: {ProtectProc: null}}\n"
            "defaults: {listen: 127.0.0.2, rollout: {min_healthy: 3s}}\n"
            "security: {profile: standard, directives: {PrivateTmp: true, ProtectProc: x}}\n"
        )
    )
    model = stack.models["a"]
    assert model.listen == "127.0.0.2"
    assert model.rollout is not None
    assert (model.rollout.min_healthy, model.rollout.deadline) == (3.0, 540.0)
    assert model.security is not None
    assert model.security.profile == "standard"
    assert model.security.directives == {"PrivateTmp": "yes", "ProtectProc": None}


def unreadable(folder: Path, kind: str) -> Path:
    """A path that is no readable stack file."""
    path = folder / "stack.yaml"
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "long name":
            return folder / ("x" * 300)
        case "below a file":
            (folder / "file").touch()
            return folder / "file" / "stack.yaml"
        case "NUL":
            return folder / "a\0b"
    return path


@pytest.mark.parametrize(
    "kind", ["missing", "directory", "fifo", "loop", "long name", "below a file", "NUL", "device"]
)
def test_a_path_that_is_no_file_is_an_invalid_stack(tmp_path: Path, kind: str) -> None:
    """No traceback, no waiting for a pipe, no endless read."""
    path = Path("/dev/zero") if kind == "device" else unreadable(tmp_path, kind)
    with pytest.raises(InvalidStackError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.line == 0
    assert caught.value.exit_code is ExitCode.INVALID_CONFIG


def test_a_file_of_another_user_is_an_invalid_stack(tmp_path: Path) -> None:
    """Permission denied says so, and exits with 78."""
    path = tmp_path / "stack.yaml"
    path.write_text(SMALL)
    path.chmod(0)
    tmp_path.chmod(0o755)
    reader = (
        "import os, sys\n"
        "from genesis_stack.spec.load import load\n"
        "from genesis_stack.spec.problems import MOST_PROBLEMS, InvalidStackError\n"
        "os.geteuid() or os.setuid(65534)\n"
        "try: load(sys.argv[1])\n"
        "except InvalidStackError as error: print(error.problems[0].what)\n"
    )
    done = subprocess.run([sys.executable, "-c", reader, path], capture_output=True, text=True, check=True)
    assert "permission denied" in done.stdout


def well_told(problems: Sequence[Problem], file: str) -> bool:
    """Whether each is about this file, and says what is wrong and what to do about it."""
    return bool(problems) and all(
        (problem.file, isinstance(problem.path, str), bool(problem.hint)) == (file, True, True)
        for problem in problems
    )


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"", 1, 1),
        (b"%YAML 1.1\n", 1, 10),
        (b"\xef\xbb\xbf", 1, 1),
        (b"name: caf\xe9\n", 1, 10),
        (b"name: \xc3\xa9\n  x: \xff\n", 2, 6),
        ("name: x".encode("utf-16"), 1, 1),
        (b"name: \x00x\n", 1, 7),
        (b"a: 1\nb: \x1b[31m\n", 2, 4),
        ("a: 1\nb: \u202eevil\n".encode(), 2, 4),
        ("a: 1\u2028b: 2\n".encode(), 1, 5),
        (b"a: \xc2\x85\n", 1, 4),
        (b"a" * (10 * 1024 * 1024), 0, 0),
        (b"- " * 100_000, 1, 67),
        (b"[" * 500_000, 1, 34),
        (b"{a: " * 100_000, 1, 133),
        (b"a:\n" + b"- x\n" * 60_000, 50_000, 3),
        (b"? " * 100_000, 1, 3),
        (b"'" * 500_001, 1, 1),
        (b"\x01" * 500_000, 1, 1),
        (b"#" * 1_000_000, 1, 1),
    ],
)
def test_bytes_that_are_no_stack_are_refused_where_they_go_wrong(data: bytes, line: int, column: int) -> None:
    """The first thing that is wrong is named with its place, whatever its size or depth."""
    with pytest.raises(InvalidStackError) as caught:
        loads(data, name="it")
    assert well_told(caught.value.problems, "it")
    assert "None" not in str(caught.value)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (line, column)


def test_a_file_of_too_many_values_says_how_many_are_allowed() -> None:
    """The number is that of the first value too many."""
    with pytest.raises(InvalidStackError) as caught:
        loads("a:\n" + "- x\n" * MOST_VALUES)
    assert f"number {MOST_VALUES + 1}:" in caught.value.problems[0].what
    assert caught.value.problems[0].line == MOST_VALUES


def test_half_a_surrogate_pair_is_told_at_its_line() -> None:
    """A text in memory may hold what no file does."""
    with pytest.raises(InvalidStackError) as caught:
        loads("name: a\nb: \ud800\n")
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(2, 4)]


def test_the_bound_holds_for_problems_of_every_kind_together() -> None:
    """Those of values come first, then those between values."""
    wrong = "".join(f"wrong_{number}: x\n" for number in range(MOST_PROBLEMS))
    with pytest.raises(InvalidStackError) as caught:
        loads(with_lines(f"    listen: 192.0.2.1\n{wrong}"))
    assert len(caught.value.problems) == MOST_PROBLEMS


@pytest.mark.parametrize("mistake", ["wrong_{}: x\n", "no: {}\n", "alerts_{}: *x\n"])
def test_thousands_of_mistakes_are_told_without_end(mistake: str) -> None:
    """A file that is nothing but mistakes gives one error of bounded length."""
    with pytest.raises(InvalidStackError) as caught:
        loads(with_lines("".join(mistake.format(number) for number in range(20_000))))
    assert len(caught.value.problems) == MOST_PROBLEMS
    assert "maybe more" in str(caught.value)


def test_messages_hold_no_secret_and_no_terminal_sequence() -> None:
    """What was pasted into the wrong place is not repeated into a log."""
    with pytest.raises(InvalidStackError) as caught:
        loads(
            'monitoring: {alertmanager: {receivers: {a: {slack: {url_secret: "https://hooks/T0/hunter2"}}}}}\n'
            'name: "hunter2 \\e[31m"\n"\\e[2J": 1\n'
            'models: {a: {port: "hunter2", budget: {memory: hunter2}}}\n'
        )
    text = str(caught.value) + str(caught.value.document())
    assert "hunter2" not in text
    assert "\x1b" not in text


def test_problems_are_data_too() -> None:
    """A program gets each problem as fields, in the order of the file."""
    with pytest.raises(InvalidStackError) as caught:
        loads("nam: x\n" + SMALL.replace("8000", "0"), name="my.yaml")
    document = caught.value.document()
    assert document["exit_code"] == 78
    unknown, too_small = document["problems"]
    place = ("file", "line", "column", "path")
    assert [unknown[name] for name in place] == ["my.yaml", 1, 1, "nam"]
    assert [too_small[name] for name in place] == ["my.yaml", 6, 11, "models.a.port"]
    assert unknown.keys() == too_small.keys() == {*place, "what", "hint"}
    assert ("unknown" in unknown["what"], "name" in unknown["hint"]) == (True, True)
    assert re.search("at least 1.* 0", too_small["what"])
    assert too_small["hint"]


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_give_a_stack_or_its_problems(data: bytes) -> None:
    """No input leads to any other exception."""
    try:
        assert isinstance(loads(data, name="it"), Stack)
    except InvalidStackError as error:
        assert well_told(error.problems, "it")  # noqa: PT017 -- either outcome is right, but never an empty one


YAML_PIECES = st.sampled_from(  # as one text: its signs would drown in quotes
    """a models name 8000 no 1e9 ~ \\ é : - [ ] { } , &x *x << !!int ' " | > --- ... %YAML # ?""".split(" ")  # noqa: SIM905
)
SPACES = st.sampled_from([" ", "", "\n", "\n  ", "\n    ", "\t", "\r"])


@given(st.lists(YAML_PIECES | SPACES, max_size=60).map("".join))
def test_any_yaml_gives_a_stack_or_its_problems(text: str) -> None:
    """No combination of YAML's signs leads to any other exception, appended to a good stack or alone."""
    for whole in (text, with_lines(text)):
        try:
            assert isinstance(loads(whole, name="it"), Stack)
        except InvalidStackError as error:
            lines = whole.count("\n") + whole.count("\r") + 2  # what is missing is missed behind the end
            assert all(0 < problem.line <= lines for problem in error.problems)  # noqa: PT017
            assert well_told(error.problems, "it")  # noqa: PT017


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 70_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sampled_from(["8GiB", "10s", "1%", "60/min", "a", "vision", "auto", DIGEST]),
)


@settings(max_examples=200)
@given(changed(small(), VALUES))
def test_changed_stacks_give_a_stack_or_its_problems(content: dict[str, object]) -> None:
    """Wrong values of every type at every place are told apart, not tripped over."""
    import yaml

    try:
        assert isinstance(loads(yaml.safe_dump(content, allow_unicode=True), name="it"), Stack)
    except InvalidStackError as error:
        assert well_told(error.problems, "it")  # noqa: PT017
