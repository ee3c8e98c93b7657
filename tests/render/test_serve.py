from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import FileRef, ServeConfig
from genesis_stack.render import ResolvedModel
from genesis_stack.render.serve import config_file, serve_config
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack
from genesis_stack.spec.monitoring import Logs, Monitoring

LAYOUT = Layout.system()
RESOLVED = ResolvedModel(FileRef(path="/models/x", sha256="a" * 64, size=5))


def stack(cpus: float = 4, engine: str = "{}") -> Stack:
    """A stack of one model."""
    digest = "a" * 64
    return loads(
        f"""
api_version: genesis.stack/v1
name: test
models:
  smol:
    port: 8000
    weights: {{source: "hf://owner/smol/model.gguf", sha256: {digest}}}
    engine: {engine}
    budget: {{memory: 1GiB, cpus: {cpus}}}
"""
    )


@pytest.mark.parametrize(
    ("cpus", "decode", "prefill"), [(0.5, 1, 1), (1, 1, 1), (1.5, 1, 2), (2, 2, 2), (3.9, 3, 4)]
)
def test_auto_threads_come_from_the_cpu_budget(cpus: float, decode: int, prefill: int) -> None:
    """Decoding waits for its slowest thread, so each gets a whole core; prefill uses what is there."""
    engine = serve_config(stack(cpus), "smol", RESOLVED, LAYOUT).engine
    assert (engine.threads, engine.threads_batch) == (decode, prefill)


def test_declared_threads_are_kept() -> None:
    """What the operator says goes before what is computed."""
    engine = serve_config(stack(4, "{threads: 3, threads_batch: 2}"), "smol", RESOLVED, LAYOUT).engine
    assert (engine.threads, engine.threads_batch) == (3, 2)


@pytest.mark.parametrize(
    ("others", "alone"),
    [
        ({}, True),
        ({"other": None}, False),
        ({"other": "turns"}, True),
        ({"other": "turns", "third": None}, False),
    ],
)
def test_threads_wait_long_only_where_one_model_computes_at_a_time(
    others: dict[str, str | None], alone: bool
) -> None:
    """Two that wait so beside each other would take whole time slices from each other."""
    declared = stack()
    smol = declared.models["smol"]
    first = smol.model_copy(update={"group": others.get("other")})
    models = {"smol": first} | {
        name: smol.model_copy(update={"group": group}) for name, group in others.items()
    }
    several = declared.model_copy(update={"models": models})
    large = ResolvedModel(FileRef(path="/models/x", sha256="a" * 64, size=5_000_000_000))
    both = declared.model_copy(update={"models": {"smol": smol, "other": smol}})
    beside = serve_config(both, "smol", large, LAYOUT).engine.spin_count
    assert (serve_config(several, "smol", large, LAYOUT).engine.spin_count > beside) == alone


def test_threads_of_a_larger_model_wait_longer() -> None:
    """Their operations are longer, and so is what one of them waits for another."""
    small, large = (
        ResolvedModel(FileRef(path="/models/x", sha256="a" * 64, size=size)) for size in (10**8, 10**9)
    )
    spins = [serve_config(stack(), "smol", model, LAYOUT).engine.spin_count for model in (small, large)]
    assert spins[0] < spins[1]


def test_the_file_names_every_value() -> None:
    """The server has no defaults of its own: what is on disk is what runs."""
    file = config_file(stack(), "smol", RESOLVED, LAYOUT, owner="root")
    config = ServeConfig.model_validate_json(file.content)
    assert config == serve_config(stack(), "smol", RESOLVED, LAYOUT)
    assert config.model_fields_set == set(ServeConfig.model_fields)
    assert config.engine.model_fields_set == set(type(config.engine).model_fields)
    assert file.path == PurePosixPath("/etc/genesis-stack/models/smol.json")


def test_the_verified_files_are_served() -> None:
    """Path, digest and size are the model store's, not the stack's."""
    assert serve_config(stack(), "smol", RESOLVED, LAYOUT).weights == RESOLVED.weights


def test_a_prefix_cache_gets_a_place_only_if_it_has_disk() -> None:
    """Without disk the cache ends with the process."""
    without = serve_config(stack(), "smol", RESOLVED, LAYOUT)
    with_disk = serve_config(
        stack(engine="{prefix_cache_ram: 64MiB, prefix_cache_disk: 64MiB}"), "smol", RESOLVED, LAYOUT
    )
    assert without.engine.prefix_cache_dir is None
    assert with_disk.engine.prefix_cache_dir == "/var/lib/genesis-stack/prefix-cache/smol"


@pytest.mark.parametrize(("declared", "sink"), [("journal", "file"), ("file", "file"), ("off", "off")])
def test_without_a_journal_the_audit_record_is_a_file(declared: str, sink: str) -> None:
    """Below the state, a directory a model."""
    logged = stack().model_copy(
        update={"monitoring": Monitoring(logs=Logs.model_validate({"audit": declared}))}
    )
    audit = serve_config(logged, "smol", RESOLVED, LAYOUT).audit
    assert (audit.sink, audit.directory) == (sink, "/var/lib/genesis-stack/logs/smol")
