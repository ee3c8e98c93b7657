from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genesis_stack.backends import Desired
from genesis_stack.cli.main import main
from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout
from genesis_stack.reconcile.generations import Generations, Result
from genesis_stack.reconcile.lock import held

STACK = """\
api_version: genesis.stack/v1
name: test
models:
  tiny:
    port: 8000
    weights:
      source: file://{path}
      sha256: {digest}
    budget: {{memory: {memory}, cpus: 1}}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a call ended."""

    returncode: int
    stdout: str
    stderr: str


class Bench:
    """A directory with a model file, a stack that declares it, and the command line in it."""

    def __init__(self, folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.folder = folder
        self.model = folder / "tiny.gguf"
        self.model.write_bytes(content)
        self.digest = hashlib.sha256(content).hexdigest()
        self.layout = Layout.under(folder / "root")
        self.declare()

    def declare(self, *, memory: str = "1GiB", digest: str | None = None) -> None:
        """Write the stack."""
        text = STACK.format(path=self.model, digest=digest or self.digest, memory=memory)
        (self.folder / "stack.yaml").write_text(text)

    def run(self, *arguments: str) -> Done:
        """One call of genesis-stack, in this process: a hundred interpreters would take a minute."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["genesis-stack", *arguments, "--root", "root"])
            with pytest.raises(SystemExit) as ended:
                main()
        shown = self.capsys.readouterr()
        return Done(int(ended.value.code or 0), shown.out, shown.err)

    def data(self, *arguments: str) -> Any:
        """What a call prints as JSON."""
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def bench(tmp_path: Path, tiny_gguf: bytes, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A stack of the tiny model."""
    return Bench(tmp_path, tiny_gguf, capsys)


def test_validate_touches_nothing(bench: Bench) -> None:
    """A stack is judged without so much as a directory being made."""
    assert bench.run("validate").returncode == 0
    assert not bench.layout.state.exists()


def test_validate_shows_the_sum_of_a_model_that_is_in_the_store(bench: Bench) -> None:
    """After a pull, nothing is an estimate that need not be one."""
    bench.run("models", "pull")
    data = bench.data("validate", "--no-host")
    (model,) = data["hosts"][0]["models"]
    assert data["valid"]
    assert model["complete"]
    assert {row["what"]: row["estimated"] for row in model["rows"]}["KV cache"] is False
    assert model["needed"] == sum(row["size"] for row in model["rows"])


def test_validate_refuses_what_cannot_fit_at_its_line(bench: Bench) -> None:
    """Exit 78, file:line:column, the number that would do; and the table all the same."""
    bench.run("models", "pull")
    bench.declare(memory="16MiB")
    done = bench.run("validate")
    assert done.returncode == 78
    assert "stack.yaml:9:22: models.tiny.budget.memory" in done.stderr
    assert "declare `memory:" in done.stderr
    assert "DOES NOT FIT" in done.stdout


def test_validate_gives_problems_as_data(bench: Bench) -> None:
    """One JSON document, also of a stack that cannot be read."""
    for text in ((bench.folder / "stack.yaml").read_text().replace("port", "prot"), "models: ["):
        (bench.folder / "stack.yaml").write_text(text)
        done = bench.run("validate", "--json")
        data = json.loads(done.stdout)
        assert done.returncode == 78
        assert not data["valid"]
        assert data["problems"][0]["line"] > 0


def test_pull_names_every_file_and_its_role(bench: Bench) -> None:
    """What is there afterwards, as data."""
    (file,) = bench.data("models", "pull")["files"]
    assert (file["model"], file["role"], file["sha256"]) == ("tiny", "weights", bench.digest)
    assert Path(file["path"]).read_bytes() == bench.model.read_bytes()


def test_pull_of_a_wrong_digest_ends_with_65(bench: Bench) -> None:
    """The exit code that scripts can tell from every other failure."""
    bench.declare(digest="a" * 64)
    done = bench.run("models", "pull")
    assert done.returncode == 65
    assert "Traceback" not in done.stderr


def test_verify_finds_damage_and_puts_the_file_into_quarantine(bench: Bench) -> None:
    """A file that changed behind our back is found without --deep, by its times."""
    path = Path(bench.data("models", "pull")["files"][0]["path"])
    assert bench.run("models", "verify", "--deep").returncode == 0
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    (told,) = bench.data("models", "verify")["files"]
    assert (told["sha256"], told["ok"], told["hashed"]) == (bench.digest, False, True)
    assert "quarantine" in told["damage"]
    assert not path.exists()
    assert [kept.name[:64] for kept in (bench.layout.models / "quarantine").iterdir()] == [bench.digest]


def test_verify_of_damage_ends_with_65(bench: Bench) -> None:
    """And names the file to a person, too."""
    path = Path(bench.data("models", "pull")["files"][0]["path"])
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    done = bench.run("models", "verify")
    assert done.returncode == 65
    assert f"{bench.digest}  DAMAGED" in done.stdout


def test_gc_keeps_what_generations_and_the_stack_need(bench: Bench) -> None:
    """Only what nobody refers to goes; without --dry-run, really."""
    bench.run("models", "pull")
    (other := bench.folder / "other.gguf").write_bytes(bench.model.read_bytes() + b"other")
    imported = bench.data("models", "import", str(other))["files"][0]["sha256"]
    assert [Path(file["path"]).name for file in bench.data("models", "gc", "--dry-run")["files"]] == [
        imported
    ]
    generation = bench.layout.generations / "00001"
    generation.mkdir(parents=True)
    (generation / "models.json").write_text(json.dumps({"schema_version": 1, "digests": [imported]}))
    assert bench.data("models", "gc")["files"] == []
    assert [file["generations"] for file in bench.data("models", "list")["files"]].count(["00001"]) == 1
    (generation / "models.json").unlink()
    generation.rmdir()
    (bench.folder / "stack.yaml").unlink()
    assert len(bench.data("models", "gc")["files"]) == 2
    assert bench.data("models", "list")["files"] == []


def test_gc_deletes_nothing_while_a_generation_cannot_be_read(bench: Bench) -> None:
    """Who does not know what is needed does not delete."""
    bench.run("models", "pull")
    (bench.folder / "stack.yaml").unlink()
    (bench.layout.generations / "00001").mkdir(parents=True)
    assert bench.run("models", "gc").returncode == 1
    assert (bench.layout.models / "sha256" / bench.digest).exists()


def test_people_get_a_line_for_each_file(bench: Bench) -> None:
    """What it is, how large, and whether anything needs it."""
    short = bench.digest[:12]
    size = f"{bench.model.stat().st_size / 2**20:.2f} MiB"
    assert bench.run("models", "pull").stdout == f"tiny  weights  {size}  sha256 {short}\n"
    assert bench.run("models", "import", str(bench.model)).stdout == f"sha256: {bench.digest}\n"
    assert bench.run("models", "verify").stdout == f"{bench.digest}  ok, unchanged since it was hashed\n"
    assert bench.run("models", "verify", "--deep").stdout == f"{bench.digest}  ok, hashed\n"
    listed = f"{short}  {size:>9}  verified  unused  Tiny llama F32\n"
    assert bench.run("models", "list").stdout == listed
    applied(bench, bench.digest)
    assert bench.run("models", "list").stdout == listed.replace("unused", "generations 00001")
    (bench.folder / "stack.yaml").unlink()
    (bench.layout.models / "quarantine/x").write_bytes(b"1234")
    done = bench.run("models", "gc")
    assert done.stdout.split() == ["4", "B", str(bench.layout.models / "quarantine/x")]
    assert "4 B were freed" in done.stderr


def test_gc_refuses_a_stack_that_is_not_there(bench: Bench) -> None:
    """A typing mistake does not cost the files that were to be kept."""
    bench.run("models", "pull")
    for verb in (("gc",), ("inspect", "tiny")):
        done = bench.run("models", *verb, "--stack", "prdo.yaml")
        assert done.returncode == 78
        assert "prdo.yaml: no such file" in done.stderr
    assert (bench.layout.models / "sha256" / bench.digest).exists()


def test_gc_keeps_the_files_of_the_stack_that_is_named(bench: Bench) -> None:
    """And not those of ./stack.yaml, which is then another one."""
    bench.run("models", "pull")
    (bench.folder / "stack.yaml").rename(bench.folder / "prod.yaml")
    bench.declare(digest="a" * 64)
    assert bench.data("models", "gc", "--stack", "prod.yaml")["files"] == []
    assert [Path(file["path"]).name for file in bench.data("models", "gc")["files"]] == [bench.digest]


def applied(bench: Bench, digest: str) -> int:
    """A generation in force that needs this one file."""
    generations = Generations(bench.layout)
    number = generations.add(Desired("test", "", {}, {}, (digest,)))
    generations.finish(number, Result(outcome="applied", finished=0))
    generations.set_current(number)
    return number


def test_gc_frees_the_files_of_old_generations_when_told_how_many_to_keep(bench: Bench) -> None:
    """First those go, then what only they needed; a dry run tells the same and deletes nothing."""
    bench.run("models", "pull")
    (bench.folder / "stack.yaml").unlink()
    (other := bench.folder / "other.gguf").write_bytes(bench.model.read_bytes() + b"other")
    imported = bench.data("models", "import", str(other))["files"][0]["sha256"]
    applied(bench, bench.digest)
    applied(bench, imported)
    for words in ((), ("--keep", "1")):
        assert bench.data("models", "gc", *words)["files"] == []
    told = bench.data("models", "gc", "--keep", "0", "--dry-run")["files"]
    assert [Path(row["path"]).name for row in told] == ["00001", bench.digest]
    assert Generations(bench.layout).numbers() == [1, 2]
    assert bench.data("models", "gc", "--keep", "0")["files"] == told
    assert Generations(bench.layout).numbers() == [2]
    assert [file["sha256"] for file in bench.data("models", "list")["files"]] == [imported]


def test_gc_waits_for_another_run_no_longer_than_it_is_told_to(bench: Bench) -> None:
    """Exit 75 names who is at work."""
    with held(bench.layout.lock, 0, "genesis-stack apply"):
        done = bench.run("models", "gc", "--lock-timeout", "0.1")
    assert done.returncode == ExitCode.LOCKED
    assert "genesis-stack apply" in done.stderr


@pytest.mark.parametrize("how", ["file", "digest", "model"])
def test_inspect_takes_a_file_a_digest_or_a_models_name(bench: Bench, how: str) -> None:
    """The same facts, however it is named."""
    bench.run("models", "pull")
    target = {"file": str(bench.model), "digest": bench.digest[:10], "model": "tiny"}[how]
    data = bench.data("models", "inspect", target)
    assert data["sha256"] == bench.digest
    assert data["facts"]["architecture"] == "llama"
    shown = dict(line.split(None, 1) for line in bench.run("models", "inspect", target).stdout.splitlines())
    assert (shown["sha256"], shown["architecture"]) == (bench.digest, "llama")


def test_inspect_of_nothing_says_so(bench: Bench) -> None:
    """An unknown name is a usage error."""
    assert bench.run("models", "inspect", "what").returncode == 64
