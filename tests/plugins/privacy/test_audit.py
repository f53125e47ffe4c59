"""The section on privacy: what it claims for private, standard and external models, and what it refuses to claim."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from rft.config.schema import Rule
from rft.plugins import AuditedModel
from rft.plugins.privacy import Privacy, PrivacyOptions
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.accounting.findings import spending_chapter
from rft.records import Backbone, ImagePreprocessingFacts, ModelFacts, Section, Training
from rft.training import Fit
from rft.training.privacy_facts import PrivacyFacts
from rft.verdict.policy import judge_rules
from tests.support.privacy_cases import private_facts

FACTS = private_facts()
STANDARD: Literal["standard"] = "standard"
VOID: dict[str, Any] = {"randomness": "seeded", "void": "samples and noise followed from the run's seed"}


def with_engine(**changes: Any) -> PrivacyFacts:
    return replace(FACTS, engine=replace(FACTS.engine, **changes))


def random_predictions(n: int = 60, *, gap: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    member = np.arange(2 * n) < n
    score = np.clip(rng.beta(4, 3, 2 * n) + gap * member, 0, 1)
    return pd.DataFrame(
        {
            "split": np.where(member, "train", "test"),
            "id": [f"{row:04}" for row in range(2 * n)],
            "unit": None,
            "label": "yes",
            "prediction": "yes",
            "score_no": 1 - score,
            "score_yes": score,
            "group_site": ["a", "b"] * n,
        }
    )


def section(
    facts: PrivacyFacts | Literal["standard"] | None,
    table: pd.DataFrame | None = None,
    unit: str | None = None,
    void: str | None = None,
) -> Section:
    private = facts if isinstance(facts, PrivacyFacts) else None
    mode: Any = "external" if facts is None else "private" if private else "standard"
    about = ModelFacts(
        name="made",
        modality="image",
        classes=("no", "yes"),
        unit=unit,
        training=Training(mode=mode, unit=unit, void=void),
    )
    fit = None if facts is None else Fit({}, privacy=private)
    audited = AuditedModel(about, 0, {}, random_predictions() if table is None else table, fit=fit)
    options = PrivacyOptions(epsilon=private.target_epsilon, mechanism_runs=0) if private else PrivacyOptions()
    return Privacy().audit(audited, options)


def text_of(section: Section) -> str:
    return "\n".join([*section.notes, *(paragraph for chapter in section.chapters for paragraph in chapter.text)])


def test_a_private_run_states_what_it_spent() -> None:
    audited_section = section(FACTS)
    assert [finding.id for finding in audited_section.findings][:5] == [
        "privacy.epsilon",
        "privacy.epsilon_rdp",
        "privacy.delta",
        "privacy.noise_multiplier",
        "privacy.units",
    ]
    epsilon = audited_section.finding("privacy.epsilon")
    assert (epsilon.value, epsilon.status, epsilon.deterministic, epsilon.n) == (2.998, "info", True, 500)
    warned = {finding.id for finding in audited_section.findings if finding.status in ("warn", "fail")}
    assert warned == {"privacy.units"}  # no unit was declared
    json.dumps(audited_section.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize(
    ("finding", "changes", "status", "word"),
    [
        ("privacy.epsilon", {"epsilon": 3.31, "target_epsilon": 4.0}, "fail", "looser accountant"),
        ("privacy.epsilon", {"epsilon": 3.01}, "fail", "asked for"),
        ("privacy.epsilon", {"epsilon": 3.0}, "info", ""),
        ("privacy.epsilon", {"epsilon": 12.0, "epsilon_rdp": 13.0, "target_epsilon": 12.0}, "warn", "weak"),
        ("privacy.delta", {"delta": 2.1e-4}, "warn", "1 / (10 n)"),
        ("privacy.delta", {"delta": 2e-4}, "info", ""),
    ],
)
def test_status_follows_the_facts(finding: str, changes: dict[str, Any], status: str, word: str) -> None:
    shown_finding = section(replace(FACTS, **changes)).finding(finding)
    assert shown_finding.status == status
    assert word in shown_finding.description


def test_the_parameters_let_a_reviewer_convert() -> None:
    table = section(replace(FACTS, unit="unit", rows_per_unit_max=4), unit="face_id").tables["parameters"]
    values = {row["parameter"]: row["value"] for row in table}
    assert values["unit of privacy"] == "unit (face_id)"
    assert values["examples of the largest unit"] == 4
    for name, value in (
        ("clipping norm C", 1.0),
        ("noise multiplier sigma", 1.79),
        ("sampling rate q", 0.064),
        ("steps T", 312),
        ("divisor q n", 32.0),
        ("1 / n", 0.002),
    ):
        assert values[name] == value
    assert {row["grade"] for row in table} == {"measured", "declared", "unverified"}


def protections_in(section: Section) -> dict[Any, Any]:
    return {row["artefact"]: row["protection"] for row in section.tables["scope"]}


def test_scope_covers_the_model_and_little_else() -> None:
    covered = protections_in(section(FACTS))
    assert covered["model"] == "under DP"
    assert covered["predictions for people outside the data"] == "post-processing of DP"
    for artefact in (
        "predictions table",
        "group tables",
        "attributions, images of examples",
        "attack results",
        "feature cache",
        "heads without privacy beside a frontier",
    ):
        assert covered[artefact] == "un-noised"


def test_scope_has_a_row_for_every_file_of_a_run_folder() -> None:
    places = {place for row in section(FACTS).tables["scope"] for place in str(row["where"]).split(", ")}
    written = {"model/", "report.html", "audit.json", "model-card.md", "predictions.parquet", "evidence.json"}
    assert written | {"assets/", "mitigated/", "state folder", "cache folder"} <= places


def test_scope_does_not_put_further_heads_under_the_epsilon_of_the_model() -> None:
    why = {row["artefact"]: row["why"] for row in section(FACTS).tables["scope"]}
    assert "an epsilon beyond the model's" in why["heads of a frontier, canary models"]
    assert why["model"] == "noised in every step of training"
    summed = {row["artefact"]: row["why"] for row in section(with_engine(name="least squares")).tables["scope"]}
    assert summed["model"] == "from noised sums"


@pytest.mark.parametrize(("weights", "asked"), [("pretrained", True), ("random", False), (None, False)])
def test_that_the_backbone_may_know_the_same_people_is_asked(weights: str | None, asked: bool) -> None:
    about = {"weights_sha256": "", "frozen_sha256_before": "", "frozen_sha256_after": "", "precision": "float32"}
    seen = ImagePreprocessingFacts(recipe="plain", pixels=(3, 8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, pixels_sha256="")
    numbers = {"frozen_parameters": 1, "trainable_parameters": 1, "preprocessing": seen}
    backbone = None if weights is None else Backbone(name="torchvision/made", weights=weights, **about, **numbers)
    facts = ModelFacts(
        name="made", modality="image", classes=("no", "yes"), training=Training(mode="private"), backbone=backbone
    )
    audited_section = Privacy().audit(
        AuditedModel(facts, 0, {}, random_predictions(), fit=Fit({}, privacy=FACTS)), PrivacyOptions(epsilon=3.0)
    )
    overlaps = [finding for finding in audited_section.findings if finding.id == "privacy.pretraining_overlap"]
    assert [finding.status for finding in overlaps] == ["not_measured"] * asked
    assert ("own training data" in audited_section.chapters[-1].text[0]) == asked


@pytest.mark.parametrize("facts", [None, STANDARD, replace(FACTS, **VOID)])
def test_scope_covers_nothing_without_secret_noise(facts: PrivacyFacts | Literal["standard"] | None) -> None:
    assert set(protections_in(section(facts)).values()) <= {"un-noised", "void"}


@pytest.mark.parametrize(("facts", "reason"), [(None, "outside this run"), (STANDARD, "without differential privacy")])
def test_without_private_training_epsilon_is_not_measured(
    facts: PrivacyFacts | Literal["standard"] | None, reason: str
) -> None:
    audited_section = section(facts)
    epsilon = audited_section.finding("privacy.epsilon")
    assert (epsilon.status, epsilon.value) == ("not_measured", None)
    assert epsilon.reason is not None
    assert reason in epsilon.reason
    assert "parameters" not in audited_section.tables
    assert audited_section.finding("privacy.membership_auc").value is not None


def test_notes_name_whose_privacy_and_where_randomness_came_from() -> None:
    by_example, by_person = text_of(section(FACTS)), text_of(section(replace(FACTS, unit="unit"), unit="face_id"))
    assert "No unit was declared" in by_example
    assert "all examples of one unit (face_id)" in by_person
    assert "No unit was declared" not in by_person
    assert "operating system" in by_example
    assert "Nothing is promised" in text_of(section(replace(FACTS, **VOID)))


PROMISES = [
    "privacy.epsilon",
    "privacy.epsilon_rdp",
    "privacy.delta",
    "privacy.noise_multiplier",
    "privacy.accountant_difference",
    "privacy.epsilon_replace_one",
    "privacy.epsilon_shuffled",
    "privacy.ideal_tpr_at_1pct_fpr",
    "privacy.ideal_tpr_at_01pct_fpr",
    "privacy.epsilon_lower_bound",
    "privacy.audit_power",
    "privacy.one_run_epsilon_lower_bound",
]
BROKEN = [{**FACTS.self_test[0], "outcome": "failed"}]


@pytest.mark.parametrize(
    ("changes", "about", "reason"),
    [
        (VOID, {}, "followed from the run's seed"),
        ({}, {"void": "the frozen part of the model changed during the run"}, "frozen part of the model changed"),
        ({"self_test": BROKEN}, {}, "the self-test of the training failed"),
    ],
    ids=["seeded noise", "frozen part moved", "self-test failed"],
)
def test_a_void_promise_gives_no_number_that_a_rule_could_pass_on(
    changes: dict[str, Any], about: dict[str, Any], reason: str
) -> None:
    audited_section = section(replace(FACTS, **changes), **about)
    for id in PROMISES:
        finding = audited_section.finding(id)
        assert (finding.status, finding.value) == ("not_measured", None)
        assert reason in str(finding.reason)
    rules = [Rule(finding=id, **bound) for id in PROMISES for bound in ({"max": 1e9}, {"min": -1e9})]
    judged = [rule for rule in judge_rules(rules, [audited_section]).rules if rule.rule != "integrity holds"]
    assert {rule.outcome for rule in judged} == {"uncertain"}
    assert len(judged) == len(rules)
    assert set(protections_in(audited_section).values()) == {"void", "un-noised"}
    assert audited_section.finding("privacy.units").value == 500, "a fact of the data, and no promise"
    assert not {"epsilon_curve", "accounting", "ideal_attacker", "epsilon_bounds"} & set(audited_section.tables)
    values = {row["parameter"]: row["value"] for row in audited_section.tables["parameters"]}
    assert values["epsilon"] == "void"
    assert "epsilon, second accountant" not in values
    for number in (2.998, 3.29):
        assert str(number) not in audited_section.model_dump_json()


def test_what_else_was_trained_beside_a_void_promise_adds_up_to_none() -> None:
    others = (Mechanism(1.0, 0.1, 10),)
    ids = [[finding.id for finding in spending_chapter(FACTS, "example", beside).findings] for beside in ((), others)]
    assert [id for id in ids[1] if id not in ids[0]] == ["privacy.epsilon_with_audits"]
    together = spending_chapter(FACTS, "example", others, "it is void").findings[1]
    assert (together.id, together.status, together.reason) == (ids[1][1], "not_measured", "it is void")


def test_broken_accounting_stays_a_failure_where_nothing_is_promised() -> None:
    finding = section(replace(FACTS, **VOID, epsilon=3.31, target_epsilon=4.0)).finding("privacy.epsilon")
    assert finding.status == "fail"


def test_membership_that_shows_is_a_warning() -> None:
    finding = section(STANDARD, random_predictions(gap=0.3)).finding("privacy.membership_auc")
    assert finding.interval is not None
    assert finding.status == "warn"
    assert finding.interval.low > 0.5
    assert finding.n == 60
    assert section(STANDARD).finding("privacy.membership_auc").status == "info"


def test_too_few_examples_leave_the_attack_out_with_the_numbers() -> None:
    audited_section = section(FACTS, random_predictions(n=8))
    finding = audited_section.finding("privacy.membership_auc")
    assert (finding.status, finding.n) == ("not_measured", 8)
    assert finding.reason is not None
    assert "8 training and 8 test examples" in finding.reason
    assert "roc" not in audited_section.tables
    assert not [figure for figure in audited_section.figures if figure.id.startswith("membership")]


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ("test", "no training example has a score"),
        ("train", "no test example has a score"),
        ("validation", "no training"),
    ],
)
def test_a_model_that_others_trained_is_attacked_only_where_both_sides_are_known(kept: str, reason: str) -> None:
    both = random_predictions()
    audited_section = section(
        None, both.assign(split="validation") if kept == "validation" else both[both["split"] == kept]
    )
    finding = audited_section.finding("privacy.membership_auc")
    assert (finding.status, finding.n) == ("not_measured", 0)
    assert finding.reason is not None
    assert reason in finding.reason


def test_that_others_trained_on_the_train_split_is_taken_on_trust() -> None:
    assert "this run cannot know" in section(None).finding("privacy.membership_auc").caveats
    assert "this run cannot know" not in section(FACTS).finding("privacy.membership_auc").caveats


def test_the_self_test_is_reported_with_what_was_passed_over() -> None:
    audited_section = section(FACTS)
    finding = audited_section.finding("privacy.gradient_error")
    assert (finding.value, finding.deterministic, finding.status) == (4e-7, True, "info")
    assert "torch.func" in finding.description
    rows = {row["parameter"]: row for row in audited_section.tables["parameters"]}
    assert rows["gradients of single examples"]["value"] == "functorch"
    assert "Not by hooks: relative error 1.5 at stages.3." in str(rows["gradients of single examples"]["description"])
    assert rows["released"]["value"] == "1,026 trained weights"
    assert rows["precision"]["value"] == "float32"
    slow = section(with_engine(name="one by one", error=0.0)).finding("privacy.gradient_error")
    assert "slowest" in slow.description


def test_units_on_both_sides_are_mentioned() -> None:
    table = random_predictions().assign(unit=[f"u{row % 100}" for row in range(120)])
    audited_section = section(FACTS, table)
    assert "20 units have examples in both" in text_of(audited_section)
    assert audited_section.finding("privacy.membership_auc").n == 40


def test_figures_draw_from_tables_that_the_report_can_show() -> None:
    from rft.report.charts import draw

    audited_section = section(FACTS)
    assert [figure.id for figure in audited_section.figures] == [
        "epsilon_curve",
        "membership_roc",
        "membership_by_group",
    ]
    for figure in audited_section.figures:
        assert "<svg" in draw.draw_figure(figure, audited_section.tables[figure.table], id=figure.id)
    without_groups = section(FACTS, random_predictions().drop(columns="group_site"))
    assert [figure.id for figure in without_groups.figures] == ["epsilon_curve", "membership_roc"]


def test_the_chapters_come_in_the_order_of_a_review() -> None:
    titles = [chapter.title for chapter in section(FACTS).chapters]
    assert titles[:4] == [
        "What is covered, and what is not",
        "Privacy budget spent",
        "How that was counted",
        "Self-test",
    ]
    assert titles[-1] == "What was not tested"
    shown = [id for chapter in section(FACTS).chapters for id in chapter.findings]
    assert sorted(shown) == sorted(finding.id for finding in section(FACTS).findings)


def test_what_was_left_out_is_named_at_the_end() -> None:
    last = section(STANDARD).chapters[-1].text
    assert "Privacy loss epsilon" in last[0]
    assert any("pretraining data" in text for text in last)


@pytest.mark.slow
def test_steps_that_were_taken_again_are_a_warning_and_no_failure() -> None:
    finding = section(replace(FACTS, epsilon=3.05, charged_steps=330)).finding("privacy.epsilon")
    assert finding.status == "warn"
    assert "18 steps were taken again" in finding.description


def test_a_failed_self_test_is_a_failure() -> None:
    broken = [{**FACTS.self_test[0], "outcome": "failed"}]
    assert section(replace(FACTS, self_test=broken)).finding("privacy.self_test").status == "fail"


@pytest.mark.parametrize("word", ["safe ", "safe.", "anonymous", "compliant"])
def test_no_word_promises_more_than_was_measured(word: str) -> None:
    for facts in (None, STANDARD, FACTS):
        assert word not in section(facts).model_dump_json().lower()
