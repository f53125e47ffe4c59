"""The model card: front matter that YAML reads, and text that stays text."""

from __future__ import annotations

import pytest

from rft.plugins.privacy.accounting.claim import scope_table
from rft.records import AuditRun, DataFacts, Finding, RuleOutcome, Section, SplitFacts, Verdict
from rft.report.format.markdown import escape_markdown
from rft.report.render.model_card import model_card
from tests.support.example_run import HOSTILE, example_run


def front_matter(card: str) -> dict:
    yaml = pytest.importorskip("yaml")
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_is_yaml() -> None:
    content = front_matter(model_card(example_run()))
    assert content["library_name"] == "rft"
    assert content["pipeline_tag"] == "image-classification"
    assert "model-index" not in content


def test_only_a_promise_that_is_kept_is_tagged() -> None:
    """In the example a self-test of private training failed: whoever looks for private models must not meet it."""
    broken = example_run()
    assert "differential-privacy" not in front_matter(model_card(broken))["tags"]
    sections = tuple(
        section.model_copy(
            update={"findings": tuple(finding for finding in section.findings if finding.status != "fail")}
        )
        for section in broken.sections
    )
    kept = broken.model_copy(update={"sections": [each.model_copy(update={"chapters": ()}) for each in sections]})
    assert "differential-privacy" in front_matter(model_card(kept))["tags"]
    without = [audited_section for audited_section in kept.sections if audited_section.plugin != "privacy"]
    silent = kept.model_copy(update={"sections": without})
    assert "differential-privacy" not in front_matter(model_card(silent))["tags"]


@pytest.mark.parametrize(
    "name", [HOSTILE, 'a: "b" # c', "no", "1e-5", "x\n---\ny: 1", "tab\t\x7f\x85\u2028", "emoji 😀", "\\"]
)
def test_every_name_comes_through_yaml(name: str) -> None:
    run = example_run()
    card = model_card(run.model_copy(update={"run": run.run.model_copy(update={"name": name})}))
    assert front_matter(card)["model_name"] == name


def showing_all(run: AuditRun) -> AuditRun:
    """Return the run with a config by which no cell is small."""
    config = run.run.config | {"report": {"suppress_below": 0}}
    return run.model_copy(update={"run": run.run.model_copy(update={"config": config})})


def test_text_is_escaped_and_complete() -> None:
    card = model_card(example_run(with_hostile=True))
    body = card.split("---\n", 2)[2]
    assert "<" not in body.replace("&lt;", "")
    assert "[More Information Needed]" not in card
    assert "## Verdict: Fail" in body
    assert "Reason: suppressed: fewer than 10" in body, "a finding on 2 examples"
    assert "at least 5 are needed" in model_card(showing_all(example_run(with_hostile=True)))
    assert "\n\n\n\n" not in body


def test_markdown_is_taken_literally() -> None:
    assert escape_markdown("face_id *x* [a](b) `c` a|b\nd") == r"face\_id \*x\* \[a\](b) \`c\` a\|b&lt;U+000A>d"
    assert escape_markdown("# no heading") == "&#35; no heading"
    assert escape_markdown("1. no list") == "&#49;. no list"
    assert escape_markdown("0.83 [0.69, 0.92]") == r"0.83 \[0.69, 0.92\]"


def small(suppress_below: int | None = None) -> AuditRun:
    """Return a run with a group of 3 among 100, a count of 4 examples, and a rule on what rests on few."""
    run = example_run()
    gap = Finding(
        id="fairness.accuracy_gap.site",
        title="Gap",
        status="info",
        value=0.4242,
        deterministic=True,
        n=3,
        description="tiny: 3 cases.",
    )
    copies = Finding(
        id="dataset.duplicate_items",
        title="Copies",
        status="warn",
        value=4,
        unit="examples",
        deterministic=True,
        n=100,
        description="4 of 100 examples are copies.",
    )
    groups = {"site": {"north": 57, "south": 40, "tiny": 3}}
    splits = {"test": SplitFacts(n=100, n_units=None, labels={"smiling": 50, "neutral": 50}, groups=groups)}
    rule = RuleOutcome(rule="the gap", finding=gap.id, outcome="pass", because="R", explanation="0.4242: within")
    config = run.run.config | ({} if suppress_below is None else {"report": {"suppress_below": suppress_below}})
    return run.model_copy(
        update={
            "run": run.run.model_copy(update={"config": config}),
            "data": DataFacts(splits=splits, skipped=7),
            "sections": (
                Section(plugin="fairness", findings=(gap,)),
                Section(plugin="dataset", findings=(copies,)),
                Section(
                    plugin="privacy",
                    tables={"scope": scope_table(None)},
                    card_tables={"scope": "What is covered"},
                ),
            ),
            "verdict": Verdict(status="pass", rules=(rule,)),
        }
    )


def test_the_card_says_that_it_is_un_noised_and_what_epsilon_covers() -> None:
    card = model_card(small())
    assert "The results in this card are un-noised: they were computed from the data without noise" in card
    assert "| artefact | protection | where | why |" in card
    rows = [line for line in card.splitlines() if line.count("|") == 5]
    assert len(rows) == len(scope_table(None)) + 2
    assert all("un-noised" in row for row in rows[2:])


def test_the_card_withholds_small_cells_though_the_report_does_not() -> None:
    card = model_card(small())
    assert "| site | tiny | withheld |" in card
    assert "| site | south | withheld |" in card, "it would follow by subtraction"
    assert "| site | north | 57 |" in card
    assert "Left out because their item could not be read: fewer than 10." in card
    assert "0.4242" not in card
    assert "4 of 100" not in card
    assert "**Pass**: the gap (numbers are withheld in this card, since some rest on fewer than 10 cases)" in card
    assert "rest on fewer than 10 cases are withheld" in card


def test_the_card_does_not_show_the_interval_of_a_group_that_is_too_small() -> None:
    """From the ends of an exact interval at a known level the counts that it was made of can be solved for."""
    run = small()
    gap = run.sections[0].findings[0].model_copy(update={"n": 97, "small_groups": ("tiny",), "description": "A gap."})
    rule = run.verdict.rules[0].model_copy(update={"explanation": "with tiny the interval is 0.29 to 1"})
    update = {
        "sections": (Section(plugin="fairness", findings=(gap,)),),
        "verdict": Verdict(status="pass", rules=(rule,)),
    }
    card = model_card(run.model_copy(update=update))
    assert "0.29" not in card
    explained = "numbers are withheld in this card, since some rest on fewer than 10 cases"
    assert f"({explained}; too small to be compared: tiny)" in card


def test_the_config_says_what_is_small() -> None:
    card = model_card(small(0))
    assert "| site | tiny | 3 |" in card
    assert "could not be read: 7." in card
    assert "withheld" not in card
    assert "| site | tiny | withheld |" in (three := model_card(small(4)))
    assert "could not be read: 7." in three
