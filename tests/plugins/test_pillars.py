"""The sentence of each built-in plugin, in each case that it tells apart."""

from __future__ import annotations

from typing import Any

import pytest

from rft.config.schema import SEE_WORDS
from rft.plugins.attribution.overview import summarize_attribution
from rft.plugins.fairness import overview as fairness
from rft.plugins.fairness.overview import list_contrasts, summarize_fairness
from rft.plugins.performance.overview import summarize_performance
from rft.plugins.pillar import NOT_ASKED, state_pillar
from rft.plugins.privacy.overview import summarize_privacy
from rft.records import About, Finding, FindingDefinition, Interval, ModelFacts, Section, Table, Training
from tests.support.example_run import example_run

MODEL = example_run().model
LEVEL = "exact, 95 %"


def make_estimate(id: str, value: float, low: float, high: float, **changes: Any) -> Finding:
    title = changes.pop("title", "A title")
    definition = FindingDefinition(id, title, "It is so.", unit="fraction", about=changes.pop("about", About()))
    interval = Interval(low=low, high=high, method=LEVEL)
    return definition.state_estimate(value, interval=interval, adjusted=(), n=400).model_copy(update=changes)


def absent_finding(id: str, reason: str, about: About | None = None) -> Finding:
    return FindingDefinition(id, "A title", "It is so.", about=about or About()).state_not_measured(reason)


def with_training(**facts: Any) -> ModelFacts:
    return MODEL.model_copy(update={"training": Training(**facts), "unit": None})


# --- performance ---

ACCURACY = make_estimate("performance.accuracy", 0.69, 0.64, 0.74)


def baseline_finding(value: float) -> Finding:
    definition = FindingDefinition("performance.baseline_accuracy", "Baseline", "The most frequent.", unit="fraction")
    return definition.state_fact(value)


def balanced_finding(value: float, low: float, high: float) -> Finding:
    return make_estimate("performance.balanced_accuracy", value, low, high)


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        ((absent_finding("performance.accuracy", "no test split"),), "How often it is right was not measured."),
        ((ACCURACY,), "Accuracy 0.69 [0.64, 0.74] on test images (400, taken as independent)."),
        (
            (ACCURACY.model_copy(update={"n": 1}),),
            "Accuracy 0.69 [0.64, 0.74] on test images (1, taken as independent).",
        ),
        (
            (ACCURACY, baseline_finding(0.5)),
            "Accuracy 0.69 [0.64, 0.74] on test images (400, taken as independent): better than always guessing the "
            "commonest class of training, which reaches 0.500.",
        ),
        (
            (ACCURACY, baseline_finding(0.66)),
            "Accuracy 0.69 [0.64, 0.74] on test images (400, taken as independent): not shown to be better than always "
            "guessing the commonest class of training, which reaches 0.660.",
        ),
        (
            (ACCURACY, baseline_finding(0.5), balanced_finding(0.52, 0.46, 0.58)),
            "Accuracy 0.69 [0.64, 0.74] on test images (400, taken as independent): better than always guessing the "
            "commonest class of training, which reaches 0.500. The classes are unbalanced: each counting the same, "
            "it is 0.52 [0.46, 0.58] (balanced accuracy).",
        ),
        (
            (ACCURACY, baseline_finding(0.5), balanced_finding(0.62, 0.56, 0.66)),
            "Accuracy 0.69 [0.64, 0.74] on test images (400, taken as independent): better than always guessing the "
            "commonest class of training, which reaches 0.500.",
        ),
    ],
)
def test_whether_it_works(findings: tuple[Finding, ...], sentence: str) -> None:
    model = with_training(mode="standard")
    assert summarize_performance(Section(plugin="performance", findings=findings), model) == sentence
    assert summarize_performance(None, model) == NOT_ASKED


@pytest.mark.parametrize(
    ("n", "counted"), [(71, "71 units (face_id)"), (1, "1 unit (face_id)"), (12_000, "12\u202f000 units (face_id)")]
)
def test_units_are_counted_by_the_name_of_their_column(n: int, counted: str) -> None:
    section = Section(plugin="performance", findings=(ACCURACY.model_copy(update={"n": n}),))
    sentence = summarize_performance(section, MODEL)
    assert sentence == f"Accuracy 0.69 [0.64, 0.74] on test images of {counted}."


# --- privacy ---

WITHOUT = "Trained WITHOUT differential privacy: nothing bounds what the model may reveal of those it was trained on."


@pytest.mark.parametrize(
    ("training", "sentence"),
    [
        ({"mode": "standard"}, WITHOUT),
        (
            {"mode": "external"},
            "How it was trained is not known here, so no differential privacy can be vouched for.",
        ),
        (
            {"mode": "private", "void": "the noise is known"},
            "The promise of differential privacy is void: the noise is known.",
        ),
        (
            {"mode": "private", "epsilon": 2.5, "delta": 1e-5, "unit": "person"},
            "Trained with differential privacy for each person as a whole: "
            "epsilon 2.50, middling (strong up to 1, weak above 10). In the worst case, the model makes "
            "someone who is 1 % sure that a given unit took part 11 % sure (surer in at most 1 of 100\u202f000 cases, "
            "delta). The promise does not cover this report: show it only to those who may see training data.",
        ),
        (
            {"mode": "private", "epsilon": 2.5, "delta": 1e-5, "unit": "example"},
            "Trained with differential privacy for each example by itself (somebody with several is protected less): "
            "epsilon 2.50, middling (strong up to 1, weak above 10). In the worst case, the model makes "
            "someone who is 1 % sure that a given example took part 11 % sure (surer in at most 1 of "
            "100\u202f000 cases, delta). The promise does not cover this report: show it only to those who may see "
            "training data.",
        ),
    ],
)
def test_for_whom_privacy_is_promised(training: dict[str, Any], sentence: str) -> None:
    unit = {"unit": "person"} if training.get("unit") == "person" else {}
    model = with_training(**training).model_copy(update=unit)
    assert summarize_privacy(None, model) == f"{sentence} Whether attacks succeed was not tested."
    unmeasured = Section(plugin="privacy", findings=(absent_finding("privacy.membership_auc", "too few"),))
    assert summarize_privacy(unmeasured, model) == f"{sentence} Whether attacks succeed was not measured."


def test_a_unit_is_a_person_only_if_its_column_says_so() -> None:
    model = with_training(mode="private", epsilon=2.5, delta=1e-5, unit="unit").model_copy(update={"unit": "face_id"})
    assert " for each face_id as a whole (each person, if one face_id is one person): " in summarize_privacy(
        None, model
    )


def test_what_the_strongest_attack_saw() -> None:
    weak = make_estimate("privacy.membership_auc", 0.52, 0.47, 0.57)
    strong = make_estimate("privacy.lira_auc", 0.71, 0.66, 0.76, status="warn")
    plain = with_training(mode="standard")
    assert summarize_privacy(Section(plugin="privacy", findings=(weak,)), plain) == (
        f"{WITHOUT} An attack tells training images from others with an AUC of 0.52 [0.47, 0.57] "
        "(0.5 is guessing, 1 is always right): no leak found, no proof that there is none."
    )
    assert summarize_privacy(Section(plugin="privacy", findings=(weak, strong)), plain) == (
        f"{WITHOUT} The strongest of 2 attacks tells training images from others with an AUC of "
        "0.71 [0.66, 0.76] (0.5 is guessing, 1 is always right): better than guessing, so some can be recognised."
    )


def test_an_attack_on_a_model_that_others_trained_may_see_another_difference_of_the_splits() -> None:
    strong = make_estimate("privacy.membership_auc", 0.71, 0.66, 0.76, status="warn")
    summary = summarize_privacy(Section(plugin="privacy", findings=(strong,)), with_training(mode="external"))
    assert summary.endswith(
        "better than guessing, so either some can be recognised, or the data of train and test differ in other ways, "
        "which shows as well: rft did not split them."
    )


@pytest.mark.parametrize(
    ("epsilon", "suspicion"),
    [
        (0.0, "1 %"),
        (1.0, "3 %"),  # e / (99 + e) = 0.0267
        (3.0, "17 %"),  # 20.09 / 119.09 = 0.1687
        (8.0, "97 %"),  # 2,980.96 / 3,079.96 = 0.9679
        (9.2, "more than 99 %"),  # 0.99002
        (20.0, "more than 99 %"),
    ],
)
def test_what_an_epsilon_bounds(epsilon: float, suspicion: str) -> None:
    """By hand: odds of 1 to 99 become e^epsilon to 99 at most; the share is rounded up."""
    summary = summarize_privacy(None, with_training(mode="private", epsilon=epsilon, delta=1e-5, unit="person"))
    assert f" took part {suspicion} sure (surer in at most 1 of 100\u202f000 cases, delta)" in summary


@pytest.mark.parametrize(
    ("epsilon", "grade"),
    [
        (1.0, "strong"),
        (3.0, "middling"),
        (4.59, "middling"),
        (4.6, "close to weak"),
        (10.0, "close to weak"),
        (11.0, "weak"),
    ],
)
def test_an_epsilon_is_graded_by_its_tier_and_by_what_it_makes_of_a_suspicion(epsilon: float, grade: str) -> None:
    """By hand: e^epsilon is 99, and the suspicion one half, at 4.595."""
    summary = summarize_privacy(None, with_training(mode="private", epsilon=epsilon, delta=1e-5))
    assert f"epsilon {epsilon:.3g}"[:11] in summary
    assert f", {grade} (strong up to 1, weak above 10). " in summary


@pytest.mark.parametrize(
    ("epsilon", "low", "allowed"),
    [(3.0, 0.95, True), (3.0, 0.96, False), (0.1, 0.54, False), (0.1, 0.52, True)],
)
def test_what_a_promise_allows_an_attack(epsilon: float, low: float, allowed: bool) -> None:
    """By hand: the area is at most 1 - 0.0474 at 3, and 1 - 0.4750 at 0.1: of the form e^epsilon / (1 + e^epsilon)."""
    attack = make_estimate("privacy.membership_auc", low + 0.01, low, low + 0.02, status="warn")
    section = Section(plugin="privacy", findings=(attack,))
    summary = summarize_privacy(section, with_training(mode="private", epsilon=epsilon, delta=1e-9))
    assert summary.endswith("so some can be recognised, which the promise allows.") == allowed
    assert "which the promise allows" not in summarize_privacy(section, with_training(mode="standard"))


@pytest.mark.parametrize("epsilon", [20.01, 1e6])
def test_an_epsilon_that_bounds_nothing_says_so(epsilon: float) -> None:
    summary = summarize_privacy(None, with_training(mode="private", epsilon=epsilon, delta=1e-5, unit="person"))
    assert "So large an epsilon bounds nothing that matters in practice." in summary
    assert "1 % sure" not in summary


def test_the_test_of_the_training_is_told_with_what_it_would_have_seen() -> None:
    facts = (("privacy.epsilon_lower_bound", 1.9, "info"), ("privacy.audit_power", 6.0, "info"))
    bound, power = (
        FindingDefinition(id, "A title", "It is so.").state_fact(value, status=status) for id, value, status in facts
    )
    model = with_training(mode="private", epsilon=3.0, delta=1e-5, unit="person")
    told = (
        "A test found no breach of this promise; it would find most that really give away an epsilon of 6.00 or more, "
        "and miss most that give away less."
    )
    assert told in summarize_privacy(Section(plugin="privacy", findings=(bound, power)), model)
    refuted = bound.model_copy(update={"status": "fail"})
    for findings in ((bound,), (refuted, power)):  # without its smallest effect nothing is cleared
        assert "no breach" not in summarize_privacy(Section(plugin="privacy", findings=findings), model)


# --- fairness ---


def gap_finding(attribute: str, value: float, low: float, high: float, **changes: Any) -> Finding:
    about = About(attributes=(attribute,), metric="accuracy")
    id, title = f"fairness.accuracy_gap.{attribute}", f"Accuracy: gap by {attribute}"
    return make_estimate(id, value, low, high, about=about, title=title, **changes)


def group_row(group: str, value: float | None, status: str = "ok") -> dict[str, Any]:
    return {"attribute": "skin", "metric": "accuracy", "group": group, "value": value, "status": status}


ROWS: Table = [group_row("dark", 0.61), group_row("light", 0.8), group_row("other", None, "too_few")]


def test_a_gap_that_stands_out_names_both_groups() -> None:
    section = Section(
        plugin="fairness", findings=(gap_finding("skin", 0.19, 0.12, 0.26, status="warn"),), tables={"by_group": ROWS}
    )
    assert summarize_fairness(section, MODEL) == (
        "Accuracy is 0.61 for dark and 0.80 for light (skin): a gap of 0.19 [0.12, 0.26], more than chance explains."
    )


def test_the_largest_gap_of_each_metric_has_both_groups() -> None:
    """One that chance may explain, and one of combined groups, too; none that was not measured."""
    about = About(attributes=("skin",), metric="tpr")
    title = "True positive rate: gap by skin"
    findings = (
        gap_finding("skin", 0.19, 0.12, 0.26, status="warn"),
        make_estimate("fairness.tpr_gap.skin", 0.3, -0.2, 0.4, about=about, title=title),
        absent_finding("fairness.accuracy_gap.town", "too few", About(attributes=("town",), metric="accuracy")),
        gap_finding("skin x town", 0.5, 0.1, 0.9),
    )
    rates: Table = [row | {"metric": "tpr", "value": 1.0 - value} for row, value in zip(ROWS, (0.1, 0.4), strict=False)]
    rates += [group_row(group, value) | {"attribute": "skin x town"} for group, value in (("a", 0.2), ("b", 0.7))]
    contrasts = list_contrasts(
        Section(plugin="fairness", findings=findings, tables={"by_group": [*ROWS, *rates]}), MODEL
    )
    assert [(contrast.finding, contrast.attribute) for contrast in contrasts] == [
        ("fairness.accuracy_gap.skin", "skin"),
        ("fairness.tpr_gap.skin", "skin"),
        ("fairness.accuracy_gap.skin x town", "skin x town"),
    ]
    assert contrasts[1].metric == "True positive rate"
    ends = [(rate.group, rate.value) for contrast in contrasts for rate in (contrast.lowest, contrast.highest)]
    assert ends == [("dark", 0.61), ("light", 0.8), ("light", 0.6), ("dark", 0.9), ("a", 0.2), ("b", 0.7)]


def test_a_small_gap_is_told_as_small_and_counted_among_those_that_exceed_chance() -> None:
    rows: Table = [group_row("dark", 0.88), group_row("light", 0.89)]
    gap = gap_finding("skin", 0.01, 0.005, 0.015).model_copy(update={"small_groups": ("other",)})
    for p, said in (
        (
            0.001,
            "more than chance explains, but small (under 0.02) (not compared, too few: other). 1 of 2 gaps exceeds "
            "chance (skin), 1 of these is small.",
        ),
        (0.2, "chance may explain it (not compared, too few: other). None of 2 gaps exceeds chance."),
    ):
        gaps: Table = [{"attribute": "skin", "metric": "accuracy", "value": 0.01, "p_holm": p}]
        findings = (gap, gap_finding("age", 0.005, -0.1, 0.1))
        tables = {"by_group": rows, "gaps": gaps}
        assert summarize_fairness(Section(plugin="fairness", findings=findings, tables=tables), MODEL).endswith(said)


def test_a_metric_that_is_not_accuracy_is_explained() -> None:
    about = About(attributes=("skin",), metric="tpr")
    gap = make_estimate(
        "fairness.tpr_gap.skin", 0.3, 0.2, 0.4, about=about, title="True positive rate: gap by skin", status="warn"
    )
    rows: Table = [group_row("dark", 0.4) | {"metric": "tpr"}, group_row("light", 0.7) | {"metric": "tpr"}]
    summary = summarize_fairness(Section(plugin="fairness", findings=(gap,), tables={"by_group": rows}), MODEL)
    assert summary.startswith(
        f"True positive rate (the share that is given {MODEL.positive} among those that have it) is 0.40 for dark and "
    )


def test_values_whose_rounding_would_belie_their_gap_have_a_digit_more() -> None:
    rows: Table = [group_row("dark", 0.694), group_row("light", 0.826)]  # 0.69 and 0.83 would be 0.14 apart
    gap = gap_finding("skin", 0.132, 0.06, 0.2, status="warn")
    summary = summarize_fairness(Section(plugin="fairness", findings=(gap,), tables={"by_group": rows}), MODEL)
    assert summary.startswith("Accuracy is 0.694 for dark and 0.826 for light (skin): a gap of 0.13 [0.06, 0.20]")


def test_the_groups_named_are_those_of_the_audited_model_and_not_of_a_mitigated_one() -> None:
    rows: Table = [row | {"model": "fine-tuned"} for row in ROWS]
    rows += [group_row("dark", 0.9) | {"model": "mitigated"}, group_row("light", 0.2) | {"model": "mitigated"}]
    section = Section(
        plugin="fairness", findings=(gap_finding("skin", 0.19, 0.12, 0.26, status="warn"),), tables={"by_group": rows}
    )
    assert summarize_fairness(section, MODEL).startswith("Accuracy is 0.61 for dark and 0.80 for light (skin)")


def test_a_gap_that_chance_may_explain_says_what_would_have_been_found() -> None:
    gaps: Table = [{"attribute": "skin", "metric": "accuracy", "minimum_detectable_effect": 0.25}]
    section = Section(
        plugin="fairness", findings=(gap_finding("skin", 0.19, -0.02, 0.4),), tables={"by_group": ROWS, "gaps": gaps}
    )
    summary = summarize_fairness(section, MODEL)
    assert summary.endswith(
        "a gap of 0.19 [−0.02, 0.40], chance may explain it; this test could miss gaps under 0.25 in accuracy."
    )
    rate = gap_finding("skin", 0.02, 0.0, 0.3).model_copy(
        update={
            "id": "fairness.fpr_gap.skin",
            "title": "False positive rate: gap by skin",
            "about": About(attributes=("skin",), metric="fpr"),
        }
    )
    gaps += [{"attribute": "skin", "metric": "fpr", "minimum_detectable_effect": 0.332}]
    tables = {"by_group": ROWS, "gaps": gaps}
    findings = (gap_finding("skin", 0.19, -0.02, 0.4), rate)
    assert summarize_fairness(Section(plugin="fairness", findings=findings, tables=tables), MODEL).endswith(
        "a gap of 0.19 [−0.02, 0.40], chance may explain it. None of 2 gaps exceeds chance; this test could miss gaps "
        "under 0.25 in accuracy, 0.33 in false positive rate."
    )


def test_of_several_gaps_the_one_that_stands_out_is_told_and_the_others_are_counted() -> None:
    about = About(attributes=("town",), metric="accuracy")
    findings = (
        gap_finding("age", 0.3, -0.1, 0.7),
        gap_finding("skin", 0.19, 0.12, 0.26, status="warn"),
        absent_finding("fairness.accuracy_gap.town", "too few", about).model_copy(
            update={"small_groups": ("up", "low")}
        ),
    )
    summary = summarize_fairness(Section(plugin="fairness", findings=findings, tables={"by_group": ROWS}), MODEL)
    assert summary.startswith("Accuracy is 0.61 for dark")
    assert summary.endswith(
        "1 of 2 gaps exceeds chance (skin). Nothing could be compared by town: too few of up, low were tested."
    )
    claims = state_pillar("fairness", fairness.PILLAR, Section(plugin="fairness", findings=findings), "").claims
    stated = {claim.label: claim.state for claim in claims}
    assert stated["Gaps between groups"] == "measured"
    assert stated["Gaps between groups (town)"] == "not_measured"
    assert [label for label in stated if label.startswith("Gaps")] == [
        "Gaps between groups",
        "Gaps between groups (town)",
    ]
    crossed = absent_finding("fairness.accuracy_gap.age x town", "too few", About(attributes=("age x town",)))
    section = Section(plugin="fairness", findings=(*findings, crossed))
    stated = {claim.label: claim.state for claim in state_pillar("fairness", fairness.PILLAR, section, "").claims}
    assert stated["Combined groups"] == "not_measured"
    assert "Gaps between groups (age x town)" not in stated


@pytest.mark.parametrize(
    ("statuses", "sentence"),
    [
        (("info", "info"), "None of 2 gaps exceeds chance."),
        (("warn", "warn", "info"), "2 of 3 gaps exceed chance (a0, a1)."),
    ],
)
def test_how_many_gaps_are_beyond_chance(statuses: tuple[str, ...], sentence: str) -> None:
    findings = tuple(gap_finding(f"a{number}", 0.2, 0.1, 0.3, status=status) for number, status in enumerate(statuses))
    assert summarize_fairness(Section(plugin="fairness", findings=findings), MODEL).endswith(sentence)


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        ((), "no attribute divides the test examples into groups"),
        (
            (absent_finding("fairness.accuracy_gap.skin", "too few", About(attributes=("skin",), metric="accuracy")),),
            "too few",
        ),
    ],
)
def test_groups_that_cannot_be_compared(findings: tuple[Finding, ...], reason: str) -> None:
    section = Section(plugin="fairness", findings=findings)
    assert summarize_fairness(section, MODEL) == f"Groups are not comparable: {reason}."
    assert summarize_fairness(None, MODEL) == NOT_ASKED


# --- attribution ---


def shortcut_finding(name: str, value: float, **changes: Any) -> Finding:
    return make_estimate(f"attribution.shortcut.{name}", value, value - 0.05, value + 0.05, **changes)


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        (
            (),
            "What it relies on was not tested: the config names no region to test. Maps show where it looks in single "
            "examples, which proves nothing.",
        ),
        (
            (absent_finding("attribution.shortcut.stamp", "no pair of classes"),),
            "The named shortcuts could not be tested: no pair of classes.",
        ),
        (
            (shortcut_finding("stamp", 0.4, status="warn"), shortcut_finding("hat", 0.1)),
            "The model relies on the region “stamp”: swapping in that of another class alters 0.40 [0.35, 0.45] more "
            "of the predictions than swapping in that of the same class (0.45 against 0.05).",
        ),
        (
            (shortcut_finding("hat", 0.1),),
            "It is not shown that the model relies on the region “hat”: swapping in that of another class alters 0.10 "
            "[0.05, 0.15] more of the predictions than swapping in that of the same class.",
        ),
    ],
)
def test_what_the_model_looks_at(findings: tuple[Finding, ...], sentence: str) -> None:
    shares = (("stamp", 0.45), ("stamp", 0.05), ("stamp", 0.1), ("hat", 0.1))
    tables: dict[str, Table] = {
        "shortcuts": [{"name": name, "flip_share": share, "condition": "swap"} for name, share in shares]
    }
    section = Section(plugin="attribution", findings=findings, tables=tables)
    assert summarize_attribution(section, MODEL) == sentence
    assert summarize_attribution(None, MODEL) == NOT_ASKED


def test_texts_whose_words_are_not_shown_say_how_to_see_them() -> None:
    told = summarize_attribution(Section(plugin="attribution", notes=(SEE_WORDS,)), MODEL)
    assert told.endswith("Set report.show_examples = true to see words and texts, which may be personal data.")


def test_words_are_replaced_and_not_taken_from_another_class() -> None:
    tables: dict[str, Table] = {
        "shortcuts": [{"name": "fit", "flip_share": share, "condition": "swap"} for share in (0.45, 0.05)]
    }
    section = Section(plugin="attribution", findings=(shortcut_finding("fit", 0.4, status="warn"),), tables=tables)
    assert summarize_attribution(section, MODEL.model_copy(update={"modality": "text"})) == (
        "The model relies on the words “fit”: changing them alters 0.40 [0.35, 0.45] more of the predictions than "
        "changing as many others (0.45 against 0.05)."
    )
