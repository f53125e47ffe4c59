"""Every attack against its definition as a loop over examples. An attack without one is refused here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.attacks import rmia
from rft.plugins.privacy.attacks.catalog import ATTACKS, Attack
from rft.plugins.privacy.audit import audit
from rft.report.views.figures import list_other_tables
from tests.plugins.privacy.attacks.test_lira import simulate_shadows
from tests.support import ROOT
from tests.support import membership_cases as cases

CLASSES = ("no", "perhaps", "yes")
LoopOverRows = Callable[[pd.DataFrame], list[float]]
LoopOverShadows = Callable[[np.ndarray, np.ndarray, np.ndarray], list[float]]


def loop_over_losses(predictions: pd.DataFrame) -> list[float]:
    """Return minus the loss of each row."""
    return [math.log(row[f"score_{row['label']}"] or np.finfo(np.float64).tiny) for _, row in predictions.iterrows()]


def deviations(parts: Sequence[np.ndarray], *, per_example: bool) -> list[float]:
    """Return the deviation of each example's confidences: its own, or one that is pooled over all examples."""
    if per_example:
        return [float(part.std(ddof=1)) for part in parts]
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    return [math.sqrt(squares / sum(len(part) - 1 for part in parts))] * len(parts)


def loop_over_ratios(target: np.ndarray, shadows: np.ndarray, members: np.ndarray) -> list[float]:
    """Return the log ratio of two normal densities of each example."""
    inside, outside = ([shadows[chosen[:, i], i] for i in range(len(target))] for chosen in (members, ~members))
    per_example = min(len(part) for part in (*inside, *outside)) >= 32
    with_it, without = deviations(inside, per_example=per_example), deviations(outside, per_example=per_example)
    return [
        stats.norm(inside[i].mean(), with_it[i]).logpdf(value) - stats.norm(outside[i].mean(), without[i]).logpdf(value)
        for i, value in enumerate(target)
    ]


def loop_over_tails(target: np.ndarray, shadows: np.ndarray, members: np.ndarray) -> list[float]:
    """Return the log probability of each example that a model without it is at most as confident."""
    outside = [shadows[~members[:, i], i] for i in range(len(target))]
    without = deviations(outside, per_example=min(map(len, outside)) >= 32)
    return [stats.norm(outside[i].mean(), without[i]).logcdf(value) for i, value in enumerate(target)]


def loop_over_others(target: np.ndarray, shadows: np.ndarray, members: np.ndarray, gamma: float = 1.0) -> list[float]:
    """Return of each example the share of all that its ratio of probabilities beats."""
    p, q = 1 / (1 + np.exp(-target)), 1 / (1 + np.exp(-shadows))
    n = len(target)
    ratio = [p[i] / (0.5 * q[members[:, i], i].mean() + 0.5 * q[~members[:, i], i].mean()) for i in range(n)]
    return [float(np.mean([x / z >= gamma * (1 - 1e-12) for z in ratio])) for x in ratio]


OVER_ROWS: dict[str, LoopOverRows] = {"Yeom et al. 2018, threshold on the loss": loop_over_losses}
OVER_SHADOWS: dict[str, LoopOverShadows] = {
    "Carlini et al. 2022, online": loop_over_ratios,
    "Carlini et al. 2022, offline": loop_over_tails,
    "Zarifzadeh et al. 2024, equations 5 and 8": loop_over_others,
}


def hold_against_peer(attack: Attack) -> None:
    """Compare an attack's scores with the loop that its peer names; fails where it names none."""
    assert attack.peer in OVER_ROWS | OVER_SHADOWS, f"{attack.name} has no peer: write its definition out as a loop"
    if attack.prediction_score is not None:
        predictions = random_predictions()
        expected = OVER_ROWS[attack.peer](predictions)
        assert attack.prediction_score(predictions, CLASSES) == pytest.approx(expected)
    if attack.shadow_score is not None:
        for count in (16, 128):
            target, _, shadows, members, _ = simulate_shadows(count, 60)
            expected = OVER_SHADOWS[attack.peer](target, shadows, members)
            assert attack.shadow_score(target, shadows, members=members) == pytest.approx(expected), count


def random_predictions(n: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(len(CLASSES)), n)
    scores[0] = (0.0, 0.5, 0.5)
    frame = pd.DataFrame(scores, columns=[f"score_{name}" for name in CLASSES])
    return frame.assign(label=["no", *rng.choice(CLASSES, n - 1)])


def most_probable(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    return predictions[[f"score_{name}" for name in classes]].to_numpy(np.float64).max(axis=1)


def lead_over_shadows(target: np.ndarray, shadows: np.ndarray, *, members: np.ndarray) -> np.ndarray:
    return np.asarray(target - shadows.mean(axis=0))


def toy_attack(**scores: object) -> Attack:
    return Attack(
        "toy_attack",
        "attack by a toy",
        "privacy.toy_auc",
        "Attack by a toy, area under the ROC curve",
        "How often a toy is right about one {unit}.",
        ("Nobody 2026, Toys",),
        peer="nobody",
        **scores,
    )


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name)
def test_each_attack_is_what_its_peer_says(attack: Attack) -> None:
    hold_against_peer(attack)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name)
def test_each_record_is_whole(attack: Attack) -> None:
    assert (attack.prediction_score is None) != (attack.shadow_score is None), "it has one of the two"
    assert attack.references
    assert attack.finding_id.startswith("privacy.")
    assert "{unit}" in attack.description


def test_an_attack_without_a_peer_is_refused() -> None:
    with pytest.raises(AssertionError, match="toy_attack has no peer"):
        hold_against_peer(toy_attack(prediction_score=most_probable))


def test_an_attack_that_is_not_what_its_peer_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OVER_ROWS, "nobody", loop_over_losses)
    with pytest.raises(AssertionError):
        hold_against_peer(toy_attack(prediction_score=most_probable))


def test_more_than_a_tie_decides_where_gamma_is_above_one() -> None:
    target, _, shadows, members, _ = simulate_shadows(16, 60)
    expected = loop_over_others(target, shadows, members, gamma=2.0)
    assert rmia.score_rmia(target, shadows, members=members, gamma=2.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    "scores", [{"prediction_score": most_probable}, {"shadow_score": lead_over_shadows}], ids=" ".join
)
def test_an_attack_that_is_added_as_one_entry_is_in_the_whole_section(
    scores: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ATTACKS, "toy_attack", toy_attack(**scores))
    section = audit(cases.audited_model(40, 40), PrivacyOptions(shadows=8))
    finding = next(finding for finding in section.findings if finding.id == "privacy.toy_auc")
    overall = next(row for row in section.tables["attacks"] if row["attack"] == "toy_attack" and row["group"] is None)
    assert finding.value == overall["auc"]
    assert finding.description.startswith("How often a toy is right about one example.")
    assert finding.references[0] == "Nobody 2026, Toys"
    assert any(row["attack"] == "toy_attack" for row in section.tables["roc"])
    views = dict(list_other_tables(section))
    assert any(row[0] == "attack by a toy" for row in views["attacks"].rows)
    assert "attack by a toy" in next(figure.alt for figure in section.figures if figure.id == "membership_roc")
    without = audit(cases.audited_model(40, 40), PrivacyOptions(shadows=0))
    unmade = next(finding for finding in without.findings if finding.id == "privacy.toy_auc")
    assert (unmade.value is None) == ("shadow_score" in scores)


def test_the_docs_list_every_attack() -> None:
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    for attack in ATTACKS.values():
        needs = "shadow models" if attack.needs_shadows else "predictions"
        assert f"| {attack.label} | `{attack.finding_id}` | {needs} | {'; '.join(attack.references)} |" in page
