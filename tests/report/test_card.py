"""The model card: front matter that YAML reads, and text that stays text."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard

from rft.plugins.fairness.present.columns import COLUMNS as GROUP_COLUMNS
from rft.plugins.privacy.accounting.claim import scope_table
from rft.plugins.privacy.columns import declare_columns as declare_privacy_columns
from rft.records import (
    AuditRun,
    DataFacts,
    Finding,
    Interval,
    LaterVerdict,
    RuleOutcome,
    Section,
    SplitFacts,
    Table,
    Training,
    Verdict,
)
from rft.report.format.markdown import escape_markdown
from rft.report.render.hub_metadata import PIPELINES, UNNAMED_DATA
from rft.report.render.model_card import model_card
from tests.report.test_markdown import IN_TEXT, all_tokens
from tests.support.example_run import CARD, HOSTILE, example_run
from tests.support.hostile_text import MARKUP, run_with


def front_matter(card: str) -> dict:
    yaml = pytest.importorskip("yaml")
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_is_yaml() -> None:
    content = front_matter(model_card(example_run()))
    assert content["library_name"] == "rft"
    assert content["pipeline_tag"] == "image-classification"
    assert content["license"] == "apache-2.0"
    assert "base_model" not in content, "the name of a timm backbone is none of the hub"


def with_card(run: AuditRun, **table: object) -> AuditRun:
    """Return the run with ``[card]`` in its config."""
    config = run.run.config | {"card": table}
    return run.model_copy(update={"run": run.run.model_copy(update={"config": config})})


def test_the_hub_reads_the_results() -> None:
    """What the hub asks of metadata, offline: ``ModelCard.validate`` would send the card away."""
    run = with_card(example_run(), **CARD, datasets=["team/album"], base_model="timm/tf_efficientnet_lite0.in1k")
    data: Any = ModelCard(model_card(run)).data
    assert data.base_model == "timm/tf_efficientnet_lite0.in1k"
    assert data.datasets == ["team/album"]
    assert data.metrics == ["accuracy", "log_loss"]
    assert data.model_name == "smiles"
    results = data.eval_results
    assert [(score.metric_type, score.metric_name, score.metric_value) for score in results] == [
        ("accuracy", "Accuracy", 0.8333),
        ("log_loss", "Log loss", 0.4312),
    ]
    (place,) = {(score.task_type, score.dataset_type, score.dataset_name, score.dataset_split) for score in results}
    assert place == ("image-classification", "team/album", "test split of smiles", "test")
    (entry,) = front_matter(model_card(run))["model-index"]
    for result in entry["results"]:
        assert result["task"]["type"] in PIPELINES.values()
        assert all(isinstance(metric["value"], float) for metric in result["metrics"])


@pytest.mark.parametrize(
    ("licence", "written"),
    [
        ("apache-2.0", {"license": "apache-2.0"}),
        ("MIT", {"license": "mit"}),
        ("Acme-Research-1.0", {"license": "other", "license_name": "acme-research-1.0"}),
    ],
)
def test_a_licence_that_the_hub_does_not_know_is_named(licence: str, written: dict[str, str]) -> None:
    content = front_matter(model_card(with_card(example_run(), license=licence)))
    assert {key: content[key] for key in content if key.startswith("license")} == written


def test_a_backbone_of_the_hub_is_the_base_model() -> None:
    run = example_run()
    backbone = run.model.backbone.model_copy(update={"name": "transformers/org/bert@abc", "revision": "f" * 40})
    named = run.model_copy(update={"model": run.model.model_copy(update={"backbone": backbone})})
    assert front_matter(model_card(named))["base_model"] == "org/bert"
    local = backbone.model_copy(update={"revision": None})
    named = run.model_copy(update={"model": run.model.model_copy(update={"backbone": local})})
    assert "base_model" not in front_matter(model_card(named))


def test_what_is_withheld_is_no_result() -> None:
    run = with_card(small_groups_run())
    accuracy = run.sections[0].findings[0].model_copy(update={"id": "performance.accuracy", "card_metric": "accuracy"})
    content = front_matter(
        model_card(run.model_copy(update={"sections": (Section(plugin="p", findings=(accuracy,)),)}))
    )
    assert "model-index" not in content
    assert "metrics" not in content
    kept = accuracy.model_copy(update={"n": 100})
    content = front_matter(model_card(run.model_copy(update={"sections": (Section(plugin="p", findings=(kept,)),)})))
    assert content["model-index"][0]["results"][0]["dataset"]["type"] == UNNAMED_DATA


def test_the_card_says_what_only_the_organisation_knows() -> None:
    card = model_card(example_run())
    assert "- Intended use: Sorting the photos of one album.\n" in card
    assert "- Out of scope: Decisions about people.\n" in card
    assert "- Contact: `album@example.org`\n" in card, "it can be copied, and is no link"
    assert "Not given" not in card
    assert "- Not given: owner, contact, licence, intended use, out of scope\n" in model_card(with_card(example_run()))


@pytest.mark.parametrize("name", [*MARKUP, HOSTILE])
def test_no_text_of_a_user_becomes_a_link_or_markup(name: str) -> None:
    """Whatever stands in names, labels, reasons and the config: the card has the markup of its template alone."""
    usual = body_types(model_card(run_with(str)))
    card = model_card(run_with(lambda text: f"{text} {name}"))
    assert body_types(card) <= usual
    texts = [token.content for token in all_tokens(body_of(card), "dollars") if token.type in ("text", "text_special")]
    assert [text for text in texts if IN_TEXT.search(text)] == []
    assert front_matter(card)["model_name"] == f"smiles {name}"


def body_of(card: str) -> str:
    return card.split("---\n", 2)[2]


def body_types(card: str) -> set[str]:
    return {token.type for token in all_tokens(body_of(card), "dollars")} | {"text_special"}


def test_a_card_is_about_one_page() -> None:
    lines = [line for line in body_of(model_card(showing_all(example_run()))).splitlines() if line]
    assert len(lines) <= 60


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
    kept = broken.model_copy(update={"sections": [section.model_copy(update={"chapters": ()}) for section in sections]})
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
    assert "**Verdict: Fail.**" in body
    assert "Examples without a group" in body.split("Not measured, or withheld")[1], "a finding on 3 examples"
    assert "\n\n\n\n" not in body


def test_markdown_is_taken_literally() -> None:
    assert escape_markdown("face_id *x* [a](b) `c` a|b\nd") == r"face\_id \*x\* \[a\](b) \`c\` a\|b&lt;U+000A>d"
    assert escape_markdown("# no heading") == "&#35; no heading"
    assert escape_markdown("1. no list") == "&#49;. no list"
    assert escape_markdown("0.83 [0.69, 0.92]") == r"0.83 \[0.69, 0.92\]"


def group_rows(counts: dict[str, int], attribute: str = "site") -> Table:
    """Return the table of the accuracy of groups."""
    blank = dict.fromkeys(column.name for column in GROUP_COLUMNS["by_group"])
    told = {"split": "test", "model": "m", "attribute": attribute, "metric": "accuracy", "value": 0.5, "status": "ok"}
    return [blank | told | {"group": group, "n": n} for group, n in counts.items()]


def small_groups_run(suppress_below: int | None = None) -> AuditRun:
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
    rule = RuleOutcome(
        rule="the gap", finding=gap.id, outcome="pass", because="R", explanation="0.4242: within", asked="at most 1"
    )
    config = run.run.config | ({} if suppress_below is None else {"report": {"suppress_below": suppress_below}})
    return run.model_copy(
        update={
            "run": run.run.model_copy(update={"config": config}),
            "data": DataFacts(splits=splits, skipped=7),
            "sections": (
                Section(
                    plugin="fairness",
                    findings=(gap,),
                    tables={"by_group": group_rows(groups["site"])},
                    columns={"by_group": GROUP_COLUMNS["by_group"]},
                    card_tables={"by_group": "Groups"},
                ),
                Section(plugin="dataset", findings=(copies,)),
                Section(
                    plugin="privacy",
                    tables={"scope": scope_table(None)},
                    columns={"scope": declare_privacy_columns("units")["scope"]},
                    card_tables={"scope": "What is covered"},
                ),
            ),
            "verdict": Verdict(status="pass", rules=(rule,)),
        }
    )


def test_the_card_says_that_it_is_un_noised_and_what_epsilon_covers() -> None:
    card = model_card(small_groups_run())
    assert "The results in this card are un-noised: they were computed from the data without noise" in card
    assert "| protection | artefact |" in card
    names = [str(row["artefact"]) for row in scope_table(None)]
    assert f"| un-noised | {'; '.join(names)} |" in card
    assert "Trained with differential privacy: epsilon 3.00; delta 10⁻⁵;" in card
    run = small_groups_run()
    standard = run.model.model_copy(update={"training": Training(mode="standard")})
    card = model_card(run.model_copy(update={"model": standard}))
    assert "Trained without differential privacy, as far as this run knows" in card


def test_a_broken_run_promises_nothing() -> None:
    """In the example a self-test of private training failed."""
    card = model_card(example_run())
    assert "The integrity of the run is broken, as the verdict says: nothing is promised here." in card
    assert "Trained with differential privacy" not in card


def with_groups(*tables: Table) -> str:
    section = Section(
        plugin="fairness",
        tables={"by_group": [row for table in tables for row in table]},
        columns={"by_group": GROUP_COLUMNS["by_group"]},
        card_tables={"by_group": "Groups"},
    )
    return model_card(small_groups_run(0).model_copy(update={"sections": (section,)}))


def test_groups_are_shown_whole_or_not_at_all() -> None:
    few, many = {"a": 20, "b": 30}, dict.fromkeys("cdefghi", 20)
    card = with_groups(group_rows(few), group_rows(many, "town"))
    assert "| Site | a | 20 | 0.500 |" in card
    assert "| Town |" not in card
    assert "7 more rows stand in `report.html`." in card
    card = with_groups(group_rows(few), group_rows(dict.fromkeys("cdefgh", 20), "town"))
    assert "| Town | h | 20 | 0.500 |" in card
    assert "more rows" not in card


def test_the_card_withholds_small_cells_though_the_report_does_not() -> None:
    card = model_card(small_groups_run())
    assert "| Site |" not in card, "a withheld group would follow from the others by subtraction"
    assert "## Groups\n\nNot shown: some of these numbers rest on fewer than 10 cases." in card
    assert "Left out because their item could not be read: fewer than 10.\n" in card
    assert "0.4242" not in card
    assert "4 of 100" not in card
    assert "- **Pass**: Gap; at most 1 was asked: numbers are withheld in this card" in card
    assert "rest on fewer than 10 cases are withheld" in card


def test_the_card_does_not_show_the_interval_of_a_group_that_is_too_small() -> None:
    """From the ends of an exact interval at a known level the counts that it was made of can be solved for."""
    run = small_groups_run()
    gap = run.sections[0].findings[0].model_copy(update={"n": 97, "small_groups": ("tiny",), "description": "A gap."})
    said = "with tiny the interval is 0.29 to 1"
    interval = Interval(low=0.29, high=1, method="exact")
    rule = run.verdict.rules[0].model_copy(
        update={"explanation": said, "reason": said, "interval": interval, "level": 0.95}
    )
    later = LaterVerdict(
        file="p.toml", sha256="00", applied="2026-01-01", verdict=Verdict(status="pass", rules=(rule,))
    )
    update = {
        "sections": (Section(plugin="fairness", findings=(gap,)),),
        "verdict": Verdict(status="pass", rules=(rule,)),
        "later_verdicts": (later,),
    }
    card = model_card(run.model_copy(update=update))
    assert "0.29" not in card
    explained = "numbers are withheld in this card, since some rest on fewer than 10 cases"
    assert f"{explained}; too small to be compared: tiny" in card


def test_the_config_says_what_is_small() -> None:
    card = model_card(small_groups_run(0))
    assert "| Site | tiny | 3 | 0.500 |" in card
    assert "could not be read: 7.\n" in card
    assert "Numbers that rest on" not in card
    assert "Not shown: some of these numbers rest on fewer than 4 cases." in (three := model_card(small_groups_run(4)))
    assert "could not be read: 7.\n" in three
