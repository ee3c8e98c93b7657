"""`cost` over a real server that has no Prometheus beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import embedded

from dashboard.machine import Machine, machine
from genesis_stack.process import Completed

pytestmark = pytest.mark.model

COST = {
    "currency": "EUR",
    "host_per_month": 10,
    "cloud": {"smol": {"input_per_million": 2000, "output_per_million": 8000}},
}


@pytest.fixture(scope="module")
def served(smollm2: Path) -> Iterator[Machine]:
    """One model that has answered once."""
    with machine(smollm2, ("smol",)) as made:
        made.ask("smol", "Name two colours.")
        yield made


def cost(served: Machine, *words: str) -> Completed:
    """Run the verb."""
    return embedded(served.root, "cost", *words)


def test_without_prices_it_counts_tokens_and_says_how_to_declare_some(served: Machine) -> None:
    """No price is ever assumed."""
    done = cost(served)
    assert done.returncode == 0
    assert "saved" not in done.stdout
    assert "host_per_month:" in done.stderr
    assert json.loads(cost(served, "--json").stdout)["saved"] is None


def test_the_servers_counters_are_dated_and_the_formula_shown(served: Machine) -> None:
    """Prices may be those of a stack that is not applied yet; that earlier counts are lost is admitted."""
    text = (served.root / "stack.yaml").read_text()
    priced = served.root / "priced.yaml"
    priced.write_text(json.dumps(json.loads(text) | {"cost": COST}))
    said = served.metrics("smol").splitlines()
    prompt, completion = (
        next(float(line.split()[-1]) for line in said if line.startswith(f"genesis_{kind}_tokens_sum"))
        for kind in ("prompt", "completion")
    )
    found = json.loads(cost(served, str(priced), "--json").stdout)
    assert found["elsewhere"] == pytest.approx((prompt * 2000 + completion * 8000) / 1e6)
    assert found["year"] is None
    done = cost(served, str(priced))
    assert {"prompt", "cached", "input", "10.00", "EUR", "30.44"} <= set(re.findall(r"[\w.]+", done.stdout))
    assert "lost" in done.stderr


def test_a_mistyped_price_is_named_with_its_place(served: Machine) -> None:
    """Like every mistake in a stack."""
    path = served.root / "mistyped.yaml"
    path.write_text((served.root / "stack.yaml").read_text()[:-1] + ',\n"cost": {"host_per_month": "ten"}}')
    done = cost(served, str(path))
    assert done.returncode == 78
    assert f"{path}:2:28: cost.host_per_month" in done.stderr


def test_a_server_that_is_down_is_named_and_nothing_is_made_up(served: Machine) -> None:
    """Its tokens are unknown, not zero."""
    served.kill_for_good("smol")
    found = json.loads(cost(served, "--json").stdout)
    assert found["bills"] == []
    assert any(note.startswith("smol: ") for note in found["notes"])
