"""Every kind of rule against a naive float64 version of it. A kind without one is refused here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rft.config import schema
from rft.config.rule_kinds import RULE_KINDS, RuleKind
from rft.records import Finding, Interval, Section
from rft.verdict.policy import judge_rules

# Whether a value keeps to a bound, written out; nothing of rft takes part.
NAIVE: dict[str, Callable[[float, float], bool]] = {
    "max": lambda value, bound: not value > bound,
    "min": lambda value, bound: not value < bound,
}
EXAMPLES = np.array([-0.5, -0.1, 0.0, 0.1, np.nextafter(0.1, 1), 0.25, 1 / 3, 0.5, 0.75, 1.0])
TOY = RuleKind("near", "within 0.1 of", lambda bound: (bound - 0.1, bound + 0.1))


def judge_interval(rule: schema.Rule, low: float, high: float) -> tuple[str, str]:
    """Return the outcome of a rule for an estimate with this interval, and how the rule is written."""
    interval = Interval(low=low, high=high, method="test")
    finding = Finding(
        id="p.x", title="x", status="info", value=(low + high) / 2, interval=interval, n=100, description="d"
    )
    (outcome,) = judge_rules([rule], [Section(plugin="p", findings=(finding,))]).rules
    return outcome.outcome, outcome.rule


def naive_outcome(key: str, low: float, high: float, bound: float) -> str:
    """Return what holds of all values between two ends: they keep to the bound, none does, or some do."""
    between = [value for value in (*EXAMPLES, *np.linspace(low, high, 101)) if low <= value <= high]
    kept = {NAIVE[key](float(value), bound) for value in (low, high, *between)}
    return "uncertain" if len(kept) == 2 else "pass" if kept == {True} else "fail"


def hold_against_naive(kind: RuleKind, rule_model: type) -> None:
    """Judge many intervals by a kind and by its naive version; fails where it has none."""
    assert kind.key in NAIVE, f"rule kind {kind.key} has no naive version: write one out here"
    for bound in EXAMPLES:
        rule = rule_model(finding="p.x", **{kind.key: float(bound)})
        for low in EXAMPLES:
            for high in EXAMPLES[low <= EXAMPLES]:
                expected = naive_outcome(kind.key, float(low), float(high), float(bound))
                outcome, written = judge_interval(rule, float(low), float(high))
                assert outcome == expected, (bound, low, high)
                assert written == f"p.x is {kind.words} {bound:g}"


@pytest.mark.parametrize("kind", RULE_KINDS.values(), ids=lambda kind: kind.key)
def test_each_kind_judges_as_its_naive_version(kind: RuleKind) -> None:
    hold_against_naive(kind, schema.Rule)


def test_a_kind_without_a_naive_version_is_refused() -> None:
    with pytest.raises(AssertionError, match="near has no naive version"):
        hold_against_naive(TOY, schema.Rule)


def test_a_kind_is_added_as_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULE_KINDS, "near", TOY)
    monkeypatch.setitem(NAIVE, "near", lambda value, bound: bound - 0.1 <= value <= bound + 0.1)
    rule_model: Any = schema.build_rule(RULE_KINDS)
    hold_against_naive(TOY, rule_model)
    both = rule_model(finding="p.x", max=0.15, near=0.1)
    assert judge_interval(both, 0.05, 0.15) == ("pass", "p.x is within 0.1 of 0.1 and at most 0.15")
    assert judge_interval(both, 0.16, 0.19)[0] == "fail"
    with pytest.raises(ValueError, match="a rule needs max or min or near"):
        rule_model(finding="p.x")
    with pytest.raises(ValueError, match=r"near = 0\.3 is above max = 0\.1: no value keeps to both"):
        rule_model(finding="p.x", max=0.1, near=0.3)


def test_bounds_that_nothing_keeps_to_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min = 0\.5 is above max = 0\.4: no value keeps to both"):
        schema.Rule(finding="p.x", min=0.5, max=0.4)
    assert judge_interval(schema.Rule(finding="p.x", min=0.5, max=0.5), 0.5, 0.5)[0] == "pass"
