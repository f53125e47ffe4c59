"""Training by least squares: its facts, its self-test with planted mistakes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rft.errors import ConfigError, IntegrityError
from rft.plugins.privacy.accounting.accountants import Mechanism, tightest_spending
from rft.plugins.privacy.training import least_squares, least_squares_fit
from rft.plugins.privacy.training.least_squares import SufficientStatistics
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Fit, Job, Population, Task
from rft.training.linear_heads import compute_logits
from tests.support import frontier_cases as cases

TRAINER = DPTrainer(4.0, method="least_squares", randomness="seeded")


def task_with(**changes: object) -> Task:
    return replace(cases.audited_model(TRAINER).task, **changes)


def fit_jobs(task: Task, jobs: list[Job], trainer: DPTrainer = TRAINER) -> list[Fit]:
    return least_squares_fit.fit([trainer] * len(jobs), task, jobs, purpose="training")


def test_a_fit_says_what_it_spent_and_predicts() -> None:
    [fit] = fit_jobs(task_with(), [Job(0)])
    facts = fit.require_privacy()
    assert (facts.sample_rate, facts.steps, facts.charged_steps, facts.divisor) == (1.0, 1, 1, 1.0)
    assert facts.epsilon == tightest_spending(Mechanism(facts.noise_multiplier, 1.0, 1), facts.delta).epsilon
    assert 3.99 < facts.epsilon <= 4.0
    assert facts.max_grad_norm == pytest.approx(np.sqrt(1 + 4 * 0.5))
    assert all(row["outcome"] == "passed" for row in facts.self_test)
    audited = cases.audited_model(TRAINER)
    [scores] = compute_logits(task_with(), [fit], audited.features["test"])
    assert (scores.argmax(axis=1) == audited.splits["test"].labels).mean() > 0.8


def test_heads_have_noise_of_their_own() -> None:
    first, second, again = fit_jobs(task_with(), [Job(0), Job(1), Job(0)])
    weight = "linear.weight"
    assert not torch.allclose(first.state[weight], second.state[weight], atol=1e-3)
    secret = fit_jobs(task_with(), [Job(0), Job(0)], replace(TRAINER, randomness="secret"))
    assert not torch.allclose(secret[0].state[weight], secret[1].state[weight], atol=1e-3)
    assert again.require_privacy().noise_multiplier == first.require_privacy().noise_multiplier


def test_people_of_two_populations_are_refused_or_counted_by_both(tmp_path: Path) -> None:
    def task_of(name: str) -> Task:
        unit_ids = np.array([f"p{number}" for number in range(len(task_with().labels))])
        return task_with(population=Population(name, unit_ids, tmp_path))

    recorded = replace(TRAINER, ledger="ledger")
    [first] = recorded.fit(task_of("clinic"), [Job(0)])
    with pytest.raises(ConfigError, match="in population 'clinic' too"):
        recorded.fit(task_of("ward"), [Job(0)])
    [counted_by_both] = replace(recorded, overlaps=("clinic",)).fit(task_of("ward"), [Job(0)])
    assert counted_by_both.require_privacy().ledger.overlaps == ("clinic",)
    assert counted_by_both.require_privacy().ledger.epsilon > 1.2 * first.require_privacy().ledger.epsilon


def test_members_decide_who_counts() -> None:
    some = np.arange(800) < 400
    large = replace(TRAINER, noise_multiplier=1e-6, charged=False)
    half, whole = fit_jobs(task_with(), [Job(0, some), Job(0)], large)
    labels = torch.where(torch.from_numpy(some), task_with().labels, 0)  # who is left out has another label here
    [alone] = fit_jobs(task_with(labels=labels), [Job(0, some)], large)
    torch.testing.assert_close(half.state["linear.weight"], alone.state["linear.weight"], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(half.state["linear.weight"], whole.state["linear.weight"], atol=1e-2)


def test_preparing_tells_the_plan_without_touching_the_data() -> None:
    facts = least_squares_fit.prepare(TRAINER, task_with())
    assert facts.engine.name == "least squares"
    assert facts.engine.trained_parameters == 2 * 21


def half_noise(sums: SufficientStatistics, sigma: float, noise: object) -> tuple[np.ndarray, np.ndarray]:
    return original_noised(sums, sigma / 2, noise)


def stale_noise(sums: SufficientStatistics, sigma: float, _noise: object) -> tuple[np.ndarray, np.ndarray]:
    class Same:
        def draw_normals(self, *shape: int) -> np.ndarray:
            return np.random.default_rng(0).normal(size=shape)

    return original_noised(sums, sigma, Same())


def no_factors(rows: np.ndarray, *_: object) -> np.ndarray:
    return np.ones(len(rows))


original_noised, original_statistics = least_squares.add_noise, least_squares.sufficient_statistics


def nothing_zeroed(data: object, *arguments: object) -> SufficientStatistics:
    return replace(original_statistics(data, *arguments), non_finite=0)


@pytest.mark.parametrize(
    ("name", "broken", "check"),
    [
        ("add_noise", half_noise, "noise"),
        ("add_noise", stale_noise, "fresh noise"),
        ("_unit_factors", no_factors, "one unit's part"),
        ("sufficient_statistics", nothing_zeroed, "not finite"),
    ],
)
def test_planted_mistakes_stop_it(name: str, broken: Callable, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, name, broken)
    with pytest.raises(IntegrityError, match=check):
        fit_jobs(task_with(), [Job(0)])


def test_what_is_no_linear_head_on_vectors_is_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(20, 4), nn.Linear(4, 2))

    with pytest.raises(ConfigError, match="linear head"):
        fit_jobs(task_with(new_suffix=lambda seed: Two()), [Job(0)])
