from __future__ import annotations

from collections.abc import Sequence

import pytest

from genesis_stack.render.monitoring.rule import Rule
from genesis_stack.render.monitoring.rules import all_rules, rules_document
from genesis_stack.spec.alerts import ABOUT_HOST, BUILT_IN
from monitoring.stacks import EVERYTHING, PROMISES, stack

STEP = 15.0


def rules(**about: str) -> dict[tuple[str, str, str], Rule]:
    """Rules by alert, model and severity."""
    found = all_rules(stack(**about), STEP)
    return {(rule.alert, rule.model, rule.severity): rule for rule in found}


def names(found: Sequence[tuple[str, str, str]], model: str) -> set[str]:
    """The alerts about one model."""
    return {alert for alert, about, _ in found if about == model}


def test_every_built_in_alert_is_on_where_there_are_promises() -> None:
    """Without an entry in the stack, for each model that promises something, and for the host."""
    assert {alert for alert, _, _ in rules(slo=PROMISES, more=EVERYTHING)} == set(BUILT_IN)


def test_those_about_no_model_have_none_to_choose() -> None:
    """`validate` refuses `models` for them, which would silence them."""
    found = list(rules(slo=PROMISES, more=EVERYTHING))
    assert names(found, "") - names(found, "a") == set(ABOUT_HOST)


def test_what_is_not_promised_is_not_told() -> None:
    """Model b promises nothing: no latency, no speed, no budget of errors, but the rest."""
    found = list(rules(slo=PROMISES))
    promised = {"HighLatency", "SlowFirstToken", "LowThroughput", "ErrorBudgetBurn"}
    assert names(found, "a") - names(found, "b") == promised


def test_every_rule_but_the_watchdog_is_tested_both_ways() -> None:
    """Each has series under which it fires, and others under which it does not."""
    for rule in rules(slo=PROMISES, more=EVERYTHING).values():
        if rule.alert != "Watchdog":
            assert rule.body.fires, rule
            assert rule.body.silent, rule


def test_limits_come_from_the_promises() -> None:
    """Promise and budget stand in the expressions."""
    found = rules(slo=PROMISES)
    assert found["HighLatency", "a", "ticket"].body.expr.endswith("> 10")
    assert found["SlowFirstToken", "a", "ticket"].body.expr.endswith("> 3")
    assert found["HighErrorRate", "a", "page"].body.expr.endswith("> 0.01")
    assert f"/ {2 * 1024**3} > 0.95" in found["HighMemoryUsage", "b", "ticket"].body.expr


def test_an_entry_tunes_limit_patience_and_severity() -> None:
    """Of this alert alone."""
    entry = "{HighLatency: {threshold: 4s, for: 90s, severity: page, summary: ignored}}"
    tuned = rules(slo=PROMISES, alerts=entry)["HighLatency", "a", "page"]
    assert (tuned.body.expr[-3:], tuned.hold) == ("> 4", 90.0)


def test_an_entry_silences_for_good_or_but_for_some_models() -> None:
    """`enabled: false`, and `models`."""
    found = list(rules(alerts="{QueueSaturated: {enabled: false}, KVCacheFull: {models: [b]}}"))
    assert names(found, "b") - names(found, "a") == {"KVCacheFull"}
    assert "QueueSaturated" not in names(found, "a") | names(found, "b")


def test_an_added_alert_speaks_of_each_of_its_models() -> None:
    """`$model` stands for the name; without models it stays one rule about the host."""
    entry = "{Mine: {expr: 'foo{model=\"$model\"} > 1', models: [a, b], for: 1m}, Other: {expr: up == 0}}"
    found = rules(alerts=entry)
    assert found["Mine", "b", "ticket"].body.expr == 'foo{model="b"} > 1'
    assert found["Other", "", "ticket"].hold == 0


@pytest.mark.parametrize("share", ["5%", "20%", "80%"])
def test_a_generous_budget_can_still_be_burnt(share: str) -> None:
    """No speed asks for more failures than there are requests."""
    burn = rules(slo=f"{{error_rate: {share}}}")["ErrorBudgetBurn", "a", "page"].body.expr
    limits = [float(part.split()[0].rstrip(")")) for part in burn.split("> ")[1:]]
    assert max(limits) < 1


def test_rates_look_back_on_twenty_scrapes() -> None:
    """So that a slower scrape still fills them, and a quicker one is told sooner."""
    for step, window in ((1.0, "[20s]"), (15.0, "[5m]"), (60.0, "[20m]")):
        expr = next(
            rule for rule in all_rules(stack(slo=PROMISES), step) if rule.alert == "HighLatency"
        ).body.expr
        assert window in expr


def test_each_model_has_a_group_of_its_own() -> None:
    """No model's name can be taken for the host's group."""
    groups = [group["name"] for group in rules_document(all_rules(stack(), STEP))["groups"]]
    assert groups == ["genesis-a", "genesis-b", "genesis.host"]
