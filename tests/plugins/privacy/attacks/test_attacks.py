"""Attacks on a table of scores against naive counting, and their behaviour on small and awkward tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rft.plugins.privacy.attacks import scores as attacks

CLASSES = ("no", "yes")


def predictions(members: np.ndarray, others: np.ndarray, **columns: object) -> pd.DataFrame:
    """Return a table in which the label ``yes`` has these probabilities."""
    score = np.concatenate([members, others])
    n = len(score)
    return pd.DataFrame(
        {
            "split": ["train"] * len(members) + ["test"] * len(others),
            "id": [f"{row:05}" for row in range(n)],
            "unit": None,
            "label": "yes",
            "prediction": "yes",
            "score_no": 1 - score,
            "score_yes": score,
        }
    ).assign(**columns)


def attack_loss(frame: pd.DataFrame) -> attacks.AttackOutcome:
    outcome = attacks.run_attack(attacks.read_attack_target(frame, CLASSES).rows)
    assert outcome is not None
    return outcome


def test_area_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.integers(3, 10, 37) / 10, rng.integers(1, 9, 23) / 10  # with ties
    pairs = [(a > b) + 0.5 * (a == b) for a in members for b in others]
    outcome = attack_loss(predictions(members, others))
    assert outcome.auc == pytest.approx(np.mean(pairs))
    assert outcome.interval().low < outcome.auc < outcome.interval().high


@pytest.mark.parametrize("ties", [False, True])
def test_true_positive_rate_is_the_best_that_a_threshold_reaches(ties: bool) -> None:
    rng = np.random.default_rng(1)
    members, others = rng.beta(4, 2, 800), rng.beta(3, 2, 1500)
    if ties:
        members, others = members.round(2), others.round(2)
    outcome = attack_loss(predictions(np.maximum(members, 0.01), np.maximum(others, 0.01)))
    thresholds = [np.inf, *outcome.members, *outcome.non_members]
    rates = [(np.mean(outcome.non_members >= t), np.mean(outcome.members >= t)) for t in thresholds]
    rate = outcome.tpr_at(0.01)
    assert rate is not None
    assert rate.value == pytest.approx(max(tpr for fpr, tpr in rates if fpr <= 0.01))
    assert rate.interval.low <= rate.value <= rate.interval.high


def test_a_rate_finer_than_the_non_members_allow_is_not_measured() -> None:
    rng = np.random.default_rng(2)
    assert attack_loss(predictions(rng.random(50), rng.random(999))).tpr_at(0.01) is None
    enough = attack_loss(predictions(rng.random(50), rng.random(1000)))
    assert enough.tpr_at(0.01) is not None
    assert enough.tpr_at(0.001) is None


def test_memorised_examples_show_and_a_probability_of_zero_is_the_worst_score() -> None:
    outcome = attack_loss(predictions(np.full(30, 0.999), np.linspace(0, 0.9, 30)))
    assert outcome.auc == 1.0
    assert outcome.interval().low > 0.5
    assert np.isfinite(outcome.non_members).all()


def test_without_leakage_the_interval_holds_one_half() -> None:
    rng = np.random.default_rng(3)
    intervals = [attack_loss(predictions(rng.random(40), rng.random(25))).interval() for _ in range(40)]
    covered = np.mean([interval.low <= 0.5 <= interval.high for interval in intervals])
    assert covered >= 0.85


def test_units_are_attacked_by_their_mean_score() -> None:
    rng = np.random.default_rng(4)
    members, others = rng.random(40), rng.random(30)
    units = [f"m{row // 2}" for row in range(40)] + [f"o{row // 3}" for row in range(30)]
    outcome = attack_loss(predictions(members, others, unit=units))
    assert (len(outcome.members), len(outcome.non_members)) == (20, 10)
    assert sorted(outcome.members) == pytest.approx(sorted(np.log(members).reshape(20, 2).mean(axis=1)))


def test_units_on_both_sides_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(5)
    units = [f"u{row}" for row in range(20)] + [f"u{row}" for row in range(17, 37)]
    target = attacks.read_attack_target(predictions(rng.random(20), rng.random(20), unit=units), CLASSES)
    assert target.n_in_both == 3
    assert attacks.count_members(target.rows) == (17, 17)


def test_rows_without_a_usable_score_are_left_out_and_counted() -> None:
    frame = predictions(np.full(20, 0.7), np.full(20, 0.6))
    frame.loc[0, "score_yes"] = np.nan
    frame.loc[1, "label"] = "perhaps"
    target = attacks.read_attack_target(frame, CLASSES)
    assert target.n_unscored == 2
    assert attacks.count_members(target.rows) == (18, 20)
    assert attacks.count_members(attacks.read_attack_target(frame.drop(columns="score_yes"), CLASSES).rows) == (0, 0)


def test_validation_rows_take_no_part() -> None:
    frame = predictions(np.full(20, 0.7), np.full(20, 0.6))
    frame.loc[:4, "split"] = "validation"
    assert attacks.count_members(attacks.read_attack_target(frame, CLASSES).rows) == (15, 20)


def test_table_has_a_row_for_each_group_and_scores_no_small_one() -> None:
    rng = np.random.default_rng(6)
    groups = ["a"] * 25 + ["b"] * 4 + [None] + ["a"] * 15 + ["b"] * 15
    frame = predictions(rng.random(30), rng.random(30), group_site=groups)
    overall, a, b = attacks.attack_table(attacks.read_attack_target(frame, CLASSES))
    assert list(overall) == [
        *("attack", "attribute", "group", "auc", "tpr_at_1pct_fpr", "tpr_at_01pct_fpr"),
        *("low", "high", "n_members", "n_non_members"),
        *("tpr_at_1pct_fpr_low", "tpr_at_1pct_fpr_high", "tpr_at_01pct_fpr_low", "tpr_at_01pct_fpr_high"),
    ]
    assert (overall["attribute"], overall["group"], overall["n_members"]) == (None, None, 30)
    assert (a["attribute"], a["group"], a["n_members"], a["n_non_members"]) == ("site", "a", 25, 15)
    assert a["auc"] == pytest.approx(attack_loss(frame[frame["group_site"] == "a"]).auc)
    assert (b["n_members"], b["n_non_members"], b["auc"], b["low"]) == (4, 15, None, None)


def test_a_group_is_attacked_by_its_own_rows_of_a_unit() -> None:
    rng = np.random.default_rng(8)
    units = [f"u{row // 2}" for row in range(80)]
    frame = predictions(rng.random(40), rng.random(40), unit=units, group_light=["day", "night"] * 40)
    target = attacks.read_attack_target(frame, CLASSES)
    day = next(row for row in attacks.attack_table(target) if row["group"] == "day")
    assert (day["n_members"], day["n_non_members"]) == (20, 20)
    assert day["auc"] == pytest.approx(attack_loss(frame[::2].assign(unit=None)).auc)


def test_rates_have_intervals_where_there_are_enough_non_members() -> None:
    rng = np.random.default_rng(9)
    groups = ["a"] * 400 + ["a"] * 1000 + ["b"] * 100
    overall, a, b = attacks.attack_table(
        attacks.read_attack_target(predictions(rng.random(400), rng.random(1100), group_g=groups), CLASSES)
    )
    for row in (overall, a):
        assert row["tpr_at_1pct_fpr_low"] < row["tpr_at_1pct_fpr"] < row["tpr_at_1pct_fpr_high"]
        assert row["tpr_at_01pct_fpr"] is row["tpr_at_01pct_fpr_low"] is row["tpr_at_01pct_fpr_high"] is None
    assert (b["tpr_at_1pct_fpr"], b["tpr_at_1pct_fpr_low"]) == (None, None)


def test_further_scores_find_their_examples_by_id() -> None:
    rng = np.random.default_rng(10)
    frame = predictions(rng.random(30), rng.random(30))
    target = attacks.read_attack_target(frame, CLASSES)
    shuffled = rng.permutation(60)
    scored = target.with_scores(
        frame["id"].to_numpy()[shuffled], {"lira": target.rows["member"].to_numpy()[shuffled] * 1.0}
    )
    assert scored.attacks == ("loss_threshold", "lira")
    outcome = attacks.run_attack(scored.rows, "lira")
    assert outcome is not None
    assert outcome.auc == 1.0
    assert [row["attack"] for row in attacks.attack_table(scored)] == ["loss_threshold", "lira"]
    assert {row["attack"] for row in attacks.roc_table({"lira": outcome})} == {"lira"}


def test_too_few_on_a_side_are_not_scored() -> None:
    assert (
        attacks.run_attack(attacks.read_attack_target(predictions(np.full(9, 0.5), np.full(50, 0.5)), CLASSES).rows)
        is None
    )
    assert (
        attacks.run_attack(attacks.read_attack_target(predictions(np.empty(0), np.full(50, 0.5)), CLASSES).rows) is None
    )
