from __future__ import annotations

import re
from typing import Any

import pytest

from genesis_stack.modelstore.fit import Fit, fit
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.modelstore.memory import Shape
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack

GIB = 1024**3
SHAPES = {digest: Shape(facts, estimated=True) for digest, facts in KNOWN.items()}
LLAMA = next(digest for digest, facts in KNOWN.items() if facts.vocab == 128_256)


def host(memory: int = 64 * GIB, cpus: float = 64) -> LocalHost:
    """A machine."""
    return LocalHost(memory, "installed", cpus, "processors we may use", "here", "")


def stack(text: str = "", **models: dict[str, Any]) -> Stack:
    """A stack of Llama 3.1 8B models that differ in the given fields."""
    import json

    entries = {
        name: {
            "port": 8000 + index,
            "weights": {"source": "hf://o/r/f.gguf", "sha256": LLAMA},
            "budget": {"memory": "8GiB", "cpus": 4},
            **fields,
        }
        for index, (name, fields) in enumerate((models or {"llama": {}}).items())
    }
    return loads(f"api_version: genesis.stack/v1\nname: test\n{text}models: {json.dumps(entries)}\n")


def whats(found: Fit) -> list[str]:
    """What the problems are about."""
    return [".".join(problem.path) for problem in found.problems]


def test_a_stack_that_fits_has_no_problems() -> None:
    """The defaults of Llama 3.1 8B in 8 GiB."""
    found = fit(stack(), SHAPES, host())
    assert found.problems == ()
    assert found.warnings == ()


def engine(**settings: object) -> dict[str, Any]:
    """A model with these engine settings."""
    return {"engine": settings}


def test_too_small_a_budget_names_the_one_that_would_do() -> None:
    """The hint's number is enough, and a tenth less is not."""
    too_large = engine(context=32768, parallel=4)
    found = fit(stack(llama=too_large), SHAPES, host())
    assert whats(found) == ["models.llama.budget.memory"]
    declared = re.search(r"memory: ([0-9.]+)GiB", found.problems[0].hint)
    assert declared is not None
    enough = float(declared[1])
    for memory, problems in ((enough, 0), (enough - 0.2, 1)):
        again = stack(llama={**too_large, "budget": {"memory": f"{memory:.1f}GiB", "cpus": 4}})
        assert len(fit(again, SHAPES, host()).problems) == problems


@pytest.mark.parametrize(("setting", "step"), [("context", 256), ("parallel", 1)])
def test_too_small_a_budget_names_the_largest_setting_that_fits(setting: str, step: int) -> None:
    """The largest context or parallel that is offered fits, and one more does not."""
    too_large: dict[str, object] = {"context": 8192, "parallel": 8, "kv_cache": "f16"}
    found = fit(stack(llama=engine(**too_large)), SHAPES, host())
    offered = re.search(rf"engine\.{setting} to (\d+)", found.problems[0].hint)
    assert offered is not None
    for value, problems in ((int(offered[1]), 0), (int(offered[1]) + step, 1)):
        again = stack(llama=engine(**{**too_large, setting: value}))
        assert len(fit(again, SHAPES, host()).problems) == problems


def test_a_smaller_cache_type_is_offered_where_it_helps() -> None:
    """q8_0 halves the KV cache."""
    found = fit(stack(llama=engine(context=8192, parallel=4)), SHAPES, host())
    assert "q8_0" in found.problems[0].hint


def test_weights_alone_too_large_offer_only_a_larger_budget() -> None:
    """No context is small enough for a budget below the weights."""
    found = fit(stack(llama={"budget": {"memory": "2GiB", "cpus": 1}}), SHAPES, host())
    assert "engine." not in found.problems[0].hint


def test_budgets_and_reserve_must_fit_the_host() -> None:
    """The host's number decides, to the byte."""
    two = stack(one={}, two={})
    assert fit(two, SHAPES, host(17 * GIB)).problems == ()
    found = fit(two, SHAPES, host(17 * GIB - 1))
    assert whats(found) == ["models"]
    assert "17GiB" in found.problems[0].hint
    assert fit(two, SHAPES, None).problems == ()


def test_models_of_one_group_share_the_memory() -> None:
    """Only the largest of a group is ever in memory."""
    shared = {"group": "shared", "keep_loaded": "10m"}
    assert fit(stack(one=shared, two=shared), SHAPES, host(9 * GIB)).problems == ()


def test_blue_green_needs_room_for_a_second_copy() -> None:
    """Two servers of a model run at once during such a rollout."""
    model = {"rollout": {"strategy": "blue_green"}}
    assert fit(stack(llama=model), SHAPES, host(17 * GIB)).problems == ()
    assert whats(fit(stack(llama=model), SHAPES, host(16 * GIB))) == ["models"]


def test_too_many_threads_or_cpus_are_warnings() -> None:
    """They make a stack slow, not impossible."""
    found = fit(stack(llama=engine(threads=4)), SHAPES, host(cpus=2))
    assert found.problems == ()
    assert {".".join(warning.path) for warning in found.warnings} == {"models", "models.llama.engine.threads"}


def test_a_context_beyond_training_is_a_warning() -> None:
    """llama.cpp allows it; the answers suffer."""
    small = next(digest for digest, facts in KNOWN.items() if facts.context_train == 8192)
    weights = {"source": "hf://o/r/f.gguf", "sha256": small}
    found = fit(stack(llama={"weights": weights, **engine(context=16384)}), SHAPES, host())
    assert [warning.path[-1] for warning in found.warnings] == ["context"]


def test_a_budget_that_the_plan_fills_up_to_its_alert_is_a_warning() -> None:
    """It would be told forever, though all is well; a larger budget, or no alert, ends it."""
    watched = "monitoring: {prometheus: {}}\n"
    needed = fit(stack(), SHAPES, host()).models[0].needed
    tight = {"budget": {"memory": int(needed / 0.97), "cpus": 4}}
    (warning,) = fit(stack(watched, llama=tight), SHAPES, host()).warnings
    assert "97%" in warning.what
    larger = re.findall(r"`memory: (.+?)`", warning.hint)[0]
    for text, budget in (
        ("", tight),
        (watched, {"budget": {"memory": larger, "cpus": 4}}),
        (f"{watched}alerts: {{HighMemoryUsage: {{enabled: false}}}}\n", tight),
        (f"{watched}alerts: {{HighMemoryUsage: {{threshold: 98%}}}}\n", tight),
    ):
        assert fit(stack(text, llama=budget), SHAPES, host()).warnings == ()


def test_what_watches_takes_its_part_of_the_host() -> None:
    """Prometheus, Alertmanager and the exporter, each with the most it may take."""
    text = "monitoring: {prometheus: {memory: 1GiB}}\n"
    rows = fit(stack(text), SHAPES, host()).host
    assert rows is not None
    assert {row.what: row.size for row in rows.rows}["prometheus"] == GIB
    assert "exporter" in {row.what for row in rows.rows}


def test_the_gateway_takes_its_part_of_the_host() -> None:
    """As much as its unit may take."""
    rows = fit(stack("gateway: {port: 8080, memory: 1GiB}\n"), SHAPES, host()).host
    assert rows is not None
    assert {row.what: row.size for row in rows.rows}["gateway"] == GIB


def test_an_unknown_shape_is_said_to_be_unknown() -> None:
    """An incomplete sum never passes for a complete one."""
    weights = {"source": "hf://o/r/f.gguf", "sha256": "a" * 64, "size": "9GB"}
    found = fit(stack(llama={"weights": weights}), SHAPES, host())
    assert not found.models[0].known
    assert whats(found) == ["models.llama.budget.memory"]
    assert "pull" in found.warnings[0].hint
