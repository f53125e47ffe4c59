"""Stating findings: what a definition gives to each kind of statement, and which combinations there are none of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from rft.records import About, Adjusted, FindingDefinition, Interval

INTERVAL = Interval(low=0.4, high=0.6, method="Wilson, 95 %")
ADJUSTED = (Adjusted(rules=5, interval=Interval(low=0.3, high=0.7, method="exact, 99 %")),)
DEFINITION = FindingDefinition(
    "plugin.rate",
    "Rate",
    "How often it happens.",
    unit="fraction",
    about=About(attributes=("skin",)),
    caveats="On test.",
    references=("Wilson 1927",),
    cases="sampled",
    grade="declared",
    headline=True,
    card_tags=("tag",),
    remedy="Look at it.",
    card_metric="rate",
)


def test_an_estimate_has_its_interval_and_everything_of_the_definition() -> None:
    finding = DEFINITION.state_estimate(0.5, interval=INTERVAL, adjusted=ADJUSTED, n=40, small_groups=("c",))
    assert finding.model_dump() == {
        "id": "plugin.rate",
        "title": "Rate",
        "status": "info",
        "value": 0.5,
        "unit": "fraction",
        "interval": INTERVAL.model_dump(),
        "adjusted": (ADJUSTED[0].model_dump(),),
        "small_groups": ("c",),
        "deterministic": False,
        "n": 40,
        "grade": "declared",
        "description": "How often it happens.",
        "caveats": "On test.",
        "references": ("Wilson 1927",),
        "reason": None,
        "about": About(attributes=("skin",)).model_dump(),
        "cases": "sampled",
        "headline": True,
        "absence": None,
        "rounding": "nearest",
        "remedy": "Look at it.",
        "card_metric": "rate",
        "better": None,
        "card_tags": ("tag",),
        "withheld": (),
    }


@pytest.mark.parametrize("left_out", ["interval", "adjusted", "n"])
def test_an_estimate_must_say_what_it_has_no_interval_of(left_out: str) -> None:
    optional = {"interval": None, "adjusted": (), "n": 40}
    assert DEFINITION.state_estimate(0.5, **optional).interval is None
    del optional[left_out]
    with pytest.raises(TypeError, match=left_out):
        DEFINITION.state_estimate(0.5, **optional)


def test_counts_and_facts_are_deterministic() -> None:
    count = replace(DEFINITION, unit="examples", cases=None).state_count(3, n=40, status="warn")
    assert (count.deterministic, count.rests_on, count.value, count.n, count.status) == (True, "counted", 3, 40, "warn")
    fact = DEFINITION.state_fact(1.5)
    assert (fact.deterministic, fact.interval, fact.adjusted, fact.n) == (True, None, (), None)


def test_a_statement_adds_to_its_definition() -> None:
    words = {"description": "It happened.", "caveats": "On few.", "about": About(group="a")}
    finding = DEFINITION.state_fact(1.0, **words)
    assert (finding.description, finding.caveats, finding.about) == ("It happened.", "On test. On few.", words["about"])


def test_what_was_not_measured_has_a_reason_and_nothing_of_a_value() -> None:
    finding = DEFINITION.state_not_measured("nobody came", n=0, adjusted=ADJUSTED, small_groups=("c",))
    assert (finding.status, finding.value, finding.reason, finding.n) == ("not_measured", None, "nobody came", 0)
    assert (finding.adjusted, finding.small_groups, finding.about) == (ADJUSTED, ("c",), DEFINITION.about)
    assert (finding.caveats, finding.unit, finding.references, finding.headline) == ("", "", (), False)
    assert DEFINITION.state_not_measured("nobody came", about=About()).about == About()
    assert DEFINITION.state_not_measured("There is none. Make one.").reason == "There is none. Make one"
    with pytest.raises(ValidationError, match="needs a reason"):
        DEFINITION.state_not_measured("")


def test_a_value_that_is_taken_away_leaves_nothing_that_tells_of_it() -> None:
    finding = DEFINITION.state_estimate(0.5, interval=INTERVAL, adjusted=ADJUSTED, n=3, description="It is 0.5.")
    expected = replace(DEFINITION, description="Not shown.").state_not_measured("too few")
    kept = {"unit": "fraction", "grade": "declared", "references": ("Wilson 1927",)}
    assert finding.without_value("too few", "Not shown.") == expected.model_copy(update=kept)
