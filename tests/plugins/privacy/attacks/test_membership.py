"""What the report says of membership attacks: on heads that remember, on private ones, and where there is no saying."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rft.errors import RftError
from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.attack_strength import find_strongest_attack
from rft.plugins.privacy.attacks.membership import membership_chapter
from rft.plugins.privacy.attacks.scores import AttackTarget
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import Finding, Section, Training
from rft.training import Fit, Job, Task
from tests.support import membership_cases as cases

AREAS = ("privacy.membership_auc", "privacy.lira_auc", "privacy.lira_offline_auc", "privacy.rmia_auc")
RATES = ("privacy.tpr_at_1pct_fpr", "privacy.tpr_at_01pct_fpr")
BY_SHADOWS = (*AREAS[1:], *RATES)


def finding(chapter: PrivacyChapter, id: str) -> Finding:
    return next(shown_finding for shown_finding in chapter.findings if shown_finding.id == id)


def section_of(chapter: PrivacyChapter) -> Section:
    return Section(
        plugin="privacy",
        findings=chapter.findings,
        tables=dict(chapter.tables),
        captions=dict(chapter.captions),
        figures=chapter.figures,
        notes=chapter.text,
    )


def attack_on(audited: AuditedModel, **options: Any) -> PrivacyChapter:
    return membership_chapter(audited, PrivacyOptions(**options))


@pytest.fixture(scope="module")
def remembered() -> PrivacyChapter:
    """The attacks on a head that learned 300 noisy labels by heart; 1,000 people are outside."""
    return attack_on(cases.audited_model(300, 1000))


def test_the_strongest_attack_is_the_headline_and_the_advice_follows_the_promise(remembered: PrivacyChapter) -> None:
    strongest = find_strongest_attack(remembered.findings)
    assert strongest is not None
    assert [shown.id for shown in remembered.findings if shown.headline] == [strongest.id]
    assert strongest.value == max(finding(remembered, id).value or 0 for id in AREAS)
    assert "differential privacy" in strongest.remedy
    audited = cases.audited_model(300, 1000)
    for epsilon, advice in ((15.0, "The epsilon that was promised allows this"), (0.01, "with a smaller epsilon")):
        promised = Training(mode="private", epsilon=epsilon, delta=1e-5, unit="example")
        facts = audited.facts.model_copy(update={"training": promised})
        attacked = attack_on(replace(audited, facts=facts, trainer=None))
        assert advice in finding(attacked, "privacy.membership_auc").remedy


def test_what_a_head_remembers_shows_in_every_attack(remembered: PrivacyChapter) -> None:
    assert [shown.id for shown in remembered.findings] == [*AREAS, *RATES, "privacy.most_exposed_group"]
    for id in AREAS:
        shown_finding = finding(remembered, id)
        assert shown_finding.status == "warn"
        assert shown_finding.interval is not None
        assert shown_finding.interval.low > 0.5
        assert shown_finding.n == 300
    json.dumps(section_of(remembered).model_dump(mode="json"), allow_nan=False)


def test_shadow_models_see_more_than_a_threshold(remembered: PrivacyChapter) -> None:
    loss, online, offline, rmia = (finding(remembered, id).value for id in AREAS)
    assert None not in (loss, online, offline, rmia)
    assert online > loss + 0.02
    assert rmia > loss + 0.02
    assert offline > loss


def test_a_rate_is_stated_where_enough_people_are_outside(remembered: PrivacyChapter) -> None:
    coarse, fine = (finding(remembered, id) for id in RATES)
    assert coarse.n == 1000
    assert coarse.interval is not None
    assert coarse.interval.low <= (coarse.value or 0) <= coarse.interval.high
    assert (fine.status, fine.value, fine.n) == ("not_measured", None, 1000)
    assert fine.reason == "1,000 examples outside training; a rate this low needs 10,000"


def test_tables_have_every_attack_over_all_and_by_group(remembered: PrivacyChapter) -> None:
    table = remembered.tables["attacks"]
    assert [(row["attack"], row["attribute"], row["group"]) for row in table] == [
        (attack, *place)
        for attack in ("loss_threshold", "lira", "lira_offline", "rmia")
        for place in ((None, None), ("site", "x"), ("site", "y"))
    ]
    overall = {row["attack"]: row for row in table if row["group"] is None}
    assert overall["lira"]["auc"] == finding(remembered, "privacy.lira_auc").value
    assert overall["lira"]["tpr_at_1pct_fpr"] == finding(remembered, "privacy.tpr_at_1pct_fpr").value
    within = next(row for row in table if row["group"] == "x")
    assert within["tpr_at_1pct_fpr"] is None  # 667 people of this group are outside
    curve = remembered.tables["roc"]
    assert min(row["fpr"] for row in curve) == 0.01
    assert {row["attack"] for row in curve} == set(overall)


def test_figures_draw_from_tables_that_the_report_can_show(remembered: PrivacyChapter) -> None:
    from rft.report.charts import draw

    assert [figure.id for figure in remembered.figures] == ["membership_roc", "membership_by_group"]
    curve, groups = remembered.figures
    assert (curve.options["x_scale"], curve.options["y_scale"]) == ("log", "log")
    assert groups.where == {"attack": "lira"}
    for figure in remembered.figures:
        assert "<svg" in draw.draw_figure(figure, remembered.tables[figure.table], id=figure.id)


def test_the_most_exposed_group_is_named_with_an_interval_for_all_groups(remembered: PrivacyChapter) -> None:
    shown_finding = finding(remembered, "privacy.most_exposed_group")
    assert "site = " in shown_finding.description
    assert "of 2 groups" in shown_finding.description
    row = next(
        row
        for row in remembered.tables["attacks"]
        if row["attack"] == "lira" and row["group"] == shown_finding.description.split("site = ")[1][0]
    )
    assert shown_finding.value == row["auc"]
    assert shown_finding.interval is not None
    assert shown_finding.interval.low < row["low"]  # two groups were compared
    assert "97.5 %" in shown_finding.interval.method


def expose_group(group: str) -> AuditedModel:
    """Return an audited model whose model knows the training examples of one group, a third of all, and no other."""
    audited = cases.audited_model(300, 300)
    rng = np.random.default_rng(0)
    score = rng.uniform(0.2, 0.6, 600)
    known = (audited.predictions["split"] == "train") & (audited.predictions["group_site"] == group)
    score[known] = rng.uniform(0.5, 0.9, known.sum())
    frame = audited.predictions.assign(label="a", score_a=score)
    return replace(audited, predictions=frame, trainer=None)


@pytest.mark.parametrize("group", ["x", "y"])
def test_a_group_that_stands_out_is_a_warning(group: str) -> None:
    chapter = attack_on(expose_group(group))
    shown_finding = finding(chapter, "privacy.most_exposed_group")
    assert shown_finding.status == "warn"
    assert shown_finding.description.startswith(f"site = {group}")
    rows = {row["group"]: row for row in chapter.tables["attacks"]}
    other_group = {"x": "y", "y": "x"}[group]
    compared = f"area {rows[group]['auc']:.2f} against {rows[other_group]['auc']:.2f}, difference "
    assert f"site = {group} is more exposed than the other groups of site: {compared}" in shown_finding.description
    assert f"site = {other_group} is more exposed" not in shown_finding.description
    assert chapter.figures[1].where == {"attack": "loss_threshold"}  # without a trainer there are no shadows


def test_a_group_is_compared_with_the_others_though_it_makes_up_nearly_all() -> None:
    """The area over all is nearly that of a group of nine tenths; the other people's is not."""
    audited = cases.audited_model(300, 300)
    rng = np.random.default_rng(0)
    site = np.where(np.arange(600) % 10 == 0, "few", "most").astype(object)
    score = rng.uniform(0.2, 0.6, 600)
    known = ((audited.predictions["split"] == "train") & (site == "most")).to_numpy()
    score[known] = rng.uniform(0.3, 0.7, known.sum())
    frame = audited.predictions.assign(label="a", score_a=score, group_site=site)
    chapter = attack_on(replace(audited, predictions=frame, trainer=None))
    shown_finding, rows = (
        finding(chapter, "privacy.most_exposed_group"),
        {row["group"]: row for row in chapter.tables["attacks"]},
    )
    assert rows["most"]["low"] < rows[None]["auc"]  # against all, it would not stand out
    assert shown_finding.status == "warn"
    assert "site = most is more exposed than the other groups of site" in shown_finding.description


def test_groups_that_are_exposed_alike_are_no_warning() -> None:
    audited = cases.audited_model(300, 300)
    score = np.random.default_rng(0).uniform(0.2, 0.6, 600)
    score[audited.predictions["split"] == "train"] += 0.2
    frame = audited.predictions.assign(label="a", score_a=score)
    shown_finding = finding(attack_on(replace(audited, predictions=frame, trainer=None)), "privacy.most_exposed_group")
    assert shown_finding.status == "info"
    assert "more exposed than" not in shown_finding.description
    assert shown_finding.interval is not None
    assert shown_finding.interval.low > 0.5


def test_others_are_people_of_other_known_groups_only() -> None:
    """Who has rows in both groups is in neither comparison's rest, and who has no known group is nobody's other."""
    owners = ["both", "both", "x", "y", "unknown", "z"]
    site = np.array(["x", "y", "x", "y", None, 3], dtype=object)
    rows = pd.DataFrame({"owner": owners, "member": True, "group_site": site})
    target = AttackTarget(rows, (), units=True, n_in_both=0, n_unscored=0)
    others = {group: list(target.rows_of_other_groups("site", group)["owner"]) for group in ("x", "y", "3")}
    assert others == {"x": ["y", "z"], "y": ["x", "z"], "3": ["both", "both", "x", "y"]}


def test_a_small_group_is_not_named_for_its_noise() -> None:
    audited = expose_group("x")
    site = audited.predictions["group_site"].to_numpy(copy=True)
    score = audited.predictions["score_a"].to_numpy(copy=True)
    for part, value in (("train", 0.95), ("test", 0.05)):  # twelve on each side, eleven of them told apart
        rows = np.flatnonzero((audited.predictions["split"] == part) & (site == "y"))[:12]
        site[rows], score[rows] = "few", [value] * 8 + [0.3, 0.5, 0.4, 0.6]
    chapter = attack_on(replace(audited, predictions=audited.predictions.assign(group_site=site, score_a=score)))
    by_group = {row["group"]: row for row in chapter.tables["attacks"]}
    assert (by_group["few"]["n_members"], by_group["few"]["n_non_members"]) == (12, 12)
    assert finding(chapter, "privacy.most_exposed_group").description.startswith("site = x")


def test_without_groups_there_is_nothing_to_compare() -> None:
    chapter = attack_on(cases.audited_model(30, 30, groups=False), shadows=8)
    assert "privacy.most_exposed_group" not in [shown.id for shown in chapter.findings]
    assert [figure.id for figure in chapter.figures] == ["membership_roc"]
    few = attack_on(cases.audited_model(12, 12), shadows=8)
    shown_finding = finding(few, "privacy.most_exposed_group")
    assert (shown_finding.status, shown_finding.reason) == (
        "not_measured",
        "no group has 10 training and 10 test examples with a score",
    )


def test_groups_of_test_alone_say_so() -> None:
    audited = cases.audited_model(12, 12)
    of_train = audited.predictions["split"] == "train"
    columns = {name: audited.predictions[name].mask(of_train) for name in audited.predictions if "group_" in str(name)}
    chapter = attack_on(replace(audited, predictions=audited.predictions.assign(**columns)), shadows=8)
    reason = finding(chapter, "privacy.most_exposed_group").reason
    assert reason == "the groups of training examples are not known, so none can be told from those of test"


def test_private_training_hides_who_took_part() -> None:
    chapter = attack_on(cases.audited_model(200, 200, trainer=DPTrainer(epsilon=0.5, randomness="seeded")), shadows=16)
    for id in AREAS:
        shown_finding = finding(chapter, id)
        assert shown_finding.interval is not None
        assert shown_finding.interval.low < 0.52
    assert any("noise included" in note for note in chapter.text)


def test_without_leakage_the_attacks_accuse_in_few_worlds() -> None:
    """Heads that were hardly trained know nobody: of 25, as few have intervals above one half as these claim."""
    still = replace(cases.OVERFITTED, epochs=1, learning_rate=1e-9)
    accused = []
    for seed in range(25):
        chapter = attack_on(cases.audited_model(40, 40, recipe=still, seed=seed, groups=False), shadows=8)
        accused.append([finding(chapter, id).status == "warn" for id in AREAS])
    assert np.mean(accused, axis=0).max() <= 0.12


def test_units_are_what_is_counted() -> None:
    audited = cases.audited_model(150, 90, rows_per_unit=3)
    audited = replace(audited, facts=audited.facts.model_copy(update={"unit": "person"}))
    chapter = attack_on(audited, shadows=8)
    assert finding(chapter, "privacy.lira_auc").n == 30
    row = next(row for row in chapter.tables["attacks"] if row["attack"] == "lira")
    assert (row["n_members"], row["n_non_members"]) == (50, 30)
    assert "training unit (person)" in finding(chapter, "privacy.lira_auc").description
    assert finding(chapter, "privacy.tpr_at_1pct_fpr").title.startswith("Training units (person) found by")
    assert "how many units (person) of train" in chapter.captions["attacks"]


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"trainer": None, "task": None, "fit": None}, {}, "this audit has no training to look at"),
        ({}, {"shadows": 0}, "privacy.shadows is 0"),
        ({}, {"shadows": 7}, "at least 8"),
    ],
)
def test_attacks_that_were_not_made_say_why(changes: dict[str, Any], options: dict[str, Any], reason: str) -> None:
    chapter = attack_on(replace(cases.audited_model(40, 40), **changes), **options)
    assert finding(chapter, "privacy.membership_auc").value is not None
    for id in BY_SHADOWS:
        shown_finding = finding(chapter, id)
        assert (shown_finding.status, shown_finding.value) == ("not_measured", None)
        assert shown_finding.reason is not None
        assert reason in shown_finding.reason
    assert {row["attack"] for row in chapter.tables["attacks"]} == {"loss_threshold"}


def test_augmented_views_are_nothing_that_shadows_could_compare() -> None:
    chapter = attack_on(cases.audited_model(40, 40, views=2))
    assert "augmented views" in str(finding(chapter, "privacy.lira_auc").reason)


def test_a_deeper_trained_part_names_its_price() -> None:
    from tests.plugins.privacy.attacks.test_shadows import deep_suffix

    audited = cases.audited_model(40, 40, new_suffix=deep_suffix)
    reason = finding(attack_on(audited), "privacy.lira_auc").reason
    assert reason is not None
    assert "takes as long as the training, whose time stands under What was audited" in reason
    assert "privacy.shadows = 64" in reason
    assert finding(attack_on(audited, shadows=8), "privacy.lira_auc").value is not None


def test_too_few_people_are_not_attacked_with_shadows() -> None:
    chapter = attack_on(cases.audited_model(40, 9))
    for id in (*AREAS, *RATES):
        shown_finding = finding(chapter, id)
        assert shown_finding.n == 9
        assert shown_finding.reason == "40 training and 9 test examples with a score: at least 10 of each"
    assert chapter.figures == ()
    assert list(chapter.tables) == ["attacks"]


class Failing:
    """A trainer that trained the model and will train no other."""

    def prepare(self, task: Task) -> None:
        return None

    def fit(self, task: Task, jobs: list[Job]) -> list[Fit]:
        raise RftError("the training loss is nan in epoch 3")


def test_shadows_that_cannot_be_trained_leave_the_rest_standing() -> None:
    chapter = attack_on(replace(cases.audited_model(40, 40), trainer=Failing()))
    assert finding(chapter, "privacy.membership_auc").value is not None
    assert "training loss is nan" in str(finding(chapter, "privacy.lira_auc").reason)


def test_that_others_trained_on_the_train_split_is_taken_on_trust() -> None:
    chapter = attack_on(replace(cases.audited_model(40, 40), trainer=None, task=None, fit=None))
    assert "this run cannot know" in finding(chapter, "privacy.membership_auc").caveats
    assert "this run cannot know" not in finding(attack_on(cases.audited_model(40, 40), shadows=0), AREAS[0]).caveats


@pytest.mark.parametrize("word", ["safe", "anonymous", "compliant"])
def test_no_word_promises_more_than_was_measured(remembered: PrivacyChapter, word: str) -> None:
    assert word not in section_of(remembered).model_dump_json().lower()
    assert any("prove nothing" in note for note in remembered.text)
    assert any(note.startswith("64 shadow models") for note in remembered.text)
