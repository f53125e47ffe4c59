"""LiRA and RMIA against naive float64 versions, against published traps, and where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from rft.plugins.privacy.attacks import lira, rmia
from rft.plugins.privacy.attacks.shadows import draw_subsets
from rft.training.objectives import CROSS_ENTROPY

LEAK = 1.0  # how much training raises an example's confidence, in its deviations


def simulate_shadows(
    shadows: int, examples: int, *, leak: float = LEAK, share: float = 0.5, spread: bool = True, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return confidences of a target, whom it was trained on, those of shadows, their members, and the true ratio."""
    rng = np.random.default_rng(seed)
    mean, deviation = rng.normal(2, 3, examples), rng.uniform(0.3, 2, examples) if spread else np.ones(examples)
    members = draw_subsets(np.arange(examples), shadows + 2, share=share, rng=rng)
    scores = mean + deviation * (rng.normal(size=members.shape) + leak * members)
    truth = stats.norm(mean + leak * deviation, deviation).logpdf(scores[0]) - stats.norm(mean, deviation).logpdf(
        scores[0]
    )
    return scores[0], members[0], scores[2:], members[2:], truth


def area_under_roc(scores: np.ndarray, members: np.ndarray) -> float:
    return float(stats.mannwhitneyu(scores[members], scores[~members]).statistic / members.sum() / (~members).sum())


def naive_confidence(logits: np.ndarray, label: int) -> float:
    exps = [math.exp(value - max(logits)) for value in logits]
    probability = exps[label] / sum(exps)
    return math.log(probability) - math.log(sum(exp for index, exp in enumerate(exps) if index != label) / sum(exps))


def test_confidence_is_the_log_odds_of_the_label() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (50, 4)), rng.integers(4, size=50)
    naive = [naive_confidence(row, label) for row, label in zip(logits, labels, strict=True)]
    confidences = CROSS_ENTROPY.label_confidences(torch.from_numpy(logits), torch.from_numpy(labels))
    assert confidences.tolist() == pytest.approx(naive)


def test_confidence_of_certain_predictions_stays_apart() -> None:
    logits = torch.tensor([[50.0, 0.0], [60.0, 0.0], [0.0, 800.0]])
    assert CROSS_ENTROPY.label_confidences(logits, torch.zeros(3, dtype=torch.int64)).tolist() == [50, 60, -800]
    assert np.log(1 / (1 + np.exp(-50.0))) == np.log(1 / (1 + np.exp(-60.0)))  # as probabilities they are the same


def test_few_shadows_share_one_deviation_and_many_have_their_own() -> None:
    for shadows, per_example in ((40, False), (128, True)):
        target, _, scores, members, _ = simulate_shadows(shadows, 30)
        stretched = scores.copy()
        stretched[:, 0] = scores[:, 0].mean() + 10 * (scores[:, 0] - scores[:, 0].mean())
        before = lira.score_online(target, scores, members=members)[1:]
        after = lira.score_online(target, stretched, members=members)[1:]
        assert np.allclose(before, after) == per_example


def test_deviation_without_membership_comes_from_models_without_it() -> None:
    """Carlini's reference code takes it from the models with it when one deviation is shared."""
    rng = np.random.default_rng(1)
    members = draw_subsets(np.arange(400), 16, share=0.5, rng=rng)
    scores = np.where(members, rng.normal(0, 5, members.shape), rng.normal(0, 0.5, members.shape))
    out = lira.score_offline(np.full(400, 1.0), scores, members=members)
    assert np.median(out) == pytest.approx(stats.norm.logcdf(2.0), rel=0.25)


def test_pooled_deviation_is_not_the_spread_between_examples() -> None:
    target, _, scores, members, _ = simulate_shadows(16, 200, spread=False)
    apart = np.linspace(-100, 100, 200)
    near = lira.score_online(target, scores, members=members)
    assert lira.score_online(target + apart, scores + apart, members=members) == pytest.approx(near, abs=1e-6)


def test_offline_looks_at_models_without_the_example_alone() -> None:
    target, _, scores, members, _ = simulate_shadows(64, 50)
    garbled = np.where(members, 1e6, scores)
    expected = lira.score_offline(target, scores, members=members)
    assert lira.score_offline(target, garbled, members=members) == pytest.approx(expected)
    assert (expected <= 0).all()


def test_offline_tells_scores_apart_far_beyond_certainty() -> None:
    _, _, scores, members, _ = simulate_shadows(64, 2)
    near = lira.score_offline(np.full(2, 5.0) + scores.mean(axis=0), scores, members=members)
    far = lira.score_offline(np.full(2, -300.0), scores, members=members)
    further = lira.score_offline(np.full(2, -400.0), scores, members=members)
    assert np.isfinite(further).all()
    assert (further < far).all()
    assert (far < near).all()


@pytest.mark.parametrize("attack", [lira.score_online, rmia.score_rmia])
def test_an_example_without_models_on_one_side_is_refused(attack) -> None:
    target, _, scores, members, _ = simulate_shadows(16, 10)
    members[:, 3] = True
    with pytest.raises(ValueError, match="with and without every example"):
        attack(target, scores, members=members)
    with pytest.raises(ValueError, match="with and without every example"):
        lira.score_offline(target, scores, members=members)


def test_models_that_are_all_alike_give_finite_scores() -> None:
    members = draw_subsets(np.arange(20), 16, share=0.5, rng=np.random.default_rng(0))
    for attack in (lira.score_online, lira.score_offline, rmia.score_rmia):
        assert np.isfinite(attack(np.ones(20), np.ones((16, 20)), members=members)).all()


def test_gamma_decides_nothing_but_ties() -> None:
    target, _, scores, members, _ = simulate_shadows(32, 300)
    plain, strict = (rmia.score_rmia(target, scores, members=members, gamma=gamma) for gamma in (1.0, 1.3))
    order = np.argsort(plain, kind="stable")
    assert (np.diff(strict[order]) >= 0).all()
    assert len(np.unique(plain)) >= len(np.unique(strict))


def test_probabilities_next_to_one_stay_apart() -> None:
    close = rmia.log_probability(np.array([30.0, 40.0, -800.0]))
    assert close == pytest.approx([-math.exp(-30), -math.exp(-40), -800], rel=1e-12)


@pytest.mark.parametrize(("shadows", "spread"), [(16, False), (64, False), (256, False), (256, True)])
def test_lira_comes_near_the_best_that_anyone_could_do(shadows: int, spread: bool) -> None:
    """The true ratio is the best score (Neyman and Pearson); its area is Phi(leak / sqrt 2)."""
    target, member, scores, members, truth = simulate_shadows(shadows, 6000, spread=spread, seed=3)
    best = area_under_roc(truth, member)
    assert best == pytest.approx(stats.norm.cdf(LEAK / math.sqrt(2)), abs=0.02)
    estimate = area_under_roc(lira.score_online(target, scores, members=members), member)
    assert best - (0.02 if shadows > 16 else 0.045) <= estimate <= best + 0.005
    assert area_under_roc(target, member) < estimate - 0.1  # a threshold on the confidence sees little of it


def test_own_deviations_are_what_many_shadows_are_for() -> None:
    target, member, scores, members, _ = simulate_shadows(256, 6000, seed=4)
    estimate = area_under_roc(lira.score_offline(target, scores, members=members), member)
    pooled = area_under_roc(target - np.nanmean(np.where(members, np.nan, scores), axis=0), member)
    assert estimate > pooled + 0.005


@pytest.mark.parametrize("attack", [lira.score_online, lira.score_offline, rmia.score_rmia])
@pytest.mark.parametrize(("shadows", "share"), [(16, 0.5), (64, 0.75)])
def test_without_leakage_no_attack_sees_any(attack, shadows: int, share: float) -> None:
    """In 120 worlds the area scatters about one half as its null distribution says, whatever the attack estimates."""
    standard_scores = []
    for seed in range(120):
        target, member, scores, members, _ = simulate_shadows(shadows, 150, leak=0.0, share=share, seed=seed)
        n, n_others = member.sum(), (~member).sum()
        deviation = math.sqrt((n + n_others + 1) / (12 * n * n_others))
        standard_scores.append((area_under_roc(attack(target, scores, members=members), member) - 0.5) / deviation)
    assert abs(np.mean(standard_scores)) < 0.3
    assert 0.8 < np.std(standard_scores) < 1.2
    assert np.mean(np.abs(standard_scores) > 1.96) <= 0.11
