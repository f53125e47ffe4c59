"""Canary models: made up without the data, put in by coins, charged, and guessed about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rft.errors import ConfigError, Unavailable
from rft.plugins import AuditedModel
from rft.plugins.privacy.empirical import canaries
from rft.plugins.privacy.empirical.canaries import OneRunAudit, audit_canary_model, expected_shift, make_canaries
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Fit, Job, Population, Recipe, Task
from rft.training.loop import StandardTrainer
from tests.support import membership_cases as cases
from tests.support import privacy_cases

PRIVATE = DPTrainer(4.0, delta=1e-5, sample_rate=0.25, steps=20)
SHORT = Recipe(epochs=10, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.0, batch_size=32)


@pytest.fixture(scope="module")
def private() -> AuditedModel:
    return cases.audited_model(trainer=PRIVATE)


def train_canary_model(audited: AuditedModel, count: int = 100, *, seed: int = 1, **changes: Any) -> OneRunAudit:
    task = replace(audited.require_task(), **changes)
    return audit_canary_model(audited.require_trainer(), task, audited.require_fit().privacy, count, 1e-5, seed=seed)


def test_a_head_that_learns_by_heart_knows_canaries() -> None:
    outcome = train_canary_model(cases.audited_model(recipe=SHORT), 200)
    assert outcome.guesses.right > 0.57 * outcome.guesses.guessed
    assert outcome.scores[outcome.inside].mean() > outcome.scores[~outcome.inside].mean()


def test_a_private_canary_model_is_trained_by_the_public_numbers_of_the_fit_whatever_its_size(
    private: AuditedModel,
) -> None:
    outcome, facts = train_canary_model(private), private.require_fit().require_privacy()
    assert outcome.fit.require_privacy().n == facts.n + 100
    for name in ("noise_multiplier", "sample_rate", "steps", "max_grad_norm", "divisor", "delta", "epsilon"):
        assert getattr(outcome.fit.require_privacy(), name) == getattr(facts, name)


def test_a_private_canary_model_is_charged_as_such_to_the_people_of_the_run(
    private: AuditedModel, tmp_path: Path
) -> None:
    task = private.require_task()
    people = Population("made", np.array([f"row {row}" for row in range(len(task.labels))]), tmp_path)
    audited = replace(private, trainer=replace(PRIVATE, ledger=str(tmp_path / "ledger")))
    ledger = train_canary_model(audited, population=people).fit.require_privacy().ledger
    assert ledger is not None
    assert (ledger.population, ledger.purpose) == ("made", "canaries")


def test_what_the_budget_does_not_allow_is_not_trained(private: AuditedModel, tmp_path: Path) -> None:
    task = private.require_task()
    people = Population("made", np.array([f"row {row}" for row in range(len(task.labels))]), tmp_path)
    audited = replace(private, trainer=replace(PRIVATE, ledger=str(tmp_path / "ledger"), budget=1.0))
    with pytest.raises(ConfigError):
        train_canary_model(audited, population=people)


class Spy:
    """A trainer that remembers what it was asked to train, and hands out what it was given."""

    def __init__(self) -> None:
        self.asked: list[tuple[Task, Job]] = []

    def prepare(self, task: Task) -> dict[str, Any]:
        return {"mode": "standard"}

    def fit(self, task: Task, jobs: list[Job]) -> list[Fit]:
        self.asked += [(task, job) for job in jobs]
        return StandardTrainer().fit(task, jobs)


def test_coins_decide_who_is_in_and_nobody_else_is_left_out() -> None:
    audited, spy = cases.audited_model(rows_per_unit=3, recipe=SHORT), Spy()
    outcomes = [train_canary_model(replace(audited, trainer=spy), 200, seed=7) for _ in range(2)]
    for (task, job), outcome in zip(spy.asked, outcomes, strict=True):
        assert job.members is not None
        assert job.members[:150].all()
        assert np.array_equal(job.members[150:], outcome.inside)
        assert task.units is not None
        assert len(set(task.units[150:])) == 200
        assert not set(task.units[150:]) & set(task.units[:150])
        assert 60 < outcome.inside.sum() < 140
    first, second = outcomes
    assert not np.array_equal(first.inside, second.inside)  # of the operating system, not of the seed
    assert torch.equal(spy.asked[0][0].labels, spy.asked[1][0].labels)


def test_canaries_depend_on_the_shape_of_the_features_alone() -> None:
    audited = cases.audited_model(recipe=SHORT)
    task = audited.require_task()
    changed_copy = replace(task, features=cases.vectors(150, np.random.default_rng(9)), labels=task.labels.flip(0))
    (first, labels), (same, same_labels) = (make_canaries(data, 50, 3, shortest=0.0) for data in (task, changed_copy))
    assert torch.equal(first.tensor, same.tensor)
    assert torch.equal(labels, same_labels)
    assert set(labels.tolist()) == {0, 1, 2}
    assert first.tensor.norm(dim=1).mean() == pytest.approx(cases.DIMENSION**0.5, rel=0.05)
    long, _ = make_canaries(task, 50, 3, shortest=70.0)
    assert long.tensor.norm(dim=1).mean() == pytest.approx(70.0, rel=0.05)


def test_views_of_a_canary_are_alike() -> None:
    audited = cases.audited_model(views=2, recipe=SHORT)
    canaries, _ = make_canaries(audited.require_task(), 20, 0, shortest=0.0)
    assert (canaries.views, len(canaries)) == (2, 20)
    assert torch.equal(canaries.tensor[::2], canaries.tensor[1::2])
    assert train_canary_model(audited, 60).guesses.canaries == 60


def test_maps_behind_a_cut_have_canaries_and_texts_have_none() -> None:
    deep = privacy_cases.task(privacy_cases.seeded(privacy_cases.cnn), privacy_cases.maps())
    canaries, labels = make_canaries(deep, 30, 0, shortest=0.0)
    assert canaries.tensor.shape == (30, 8, 6, 6)
    assert int(labels.max()) == privacy_cases.CLASSES - 1
    text = privacy_cases.task(privacy_cases.seeded(privacy_cases.bert), privacy_cases.texts())
    with pytest.raises(Unavailable, match="one vector or map"):
        make_canaries(text, 30, 0, shortest=0.0)


def test_the_number_of_guesses_follows_from_public_numbers(private: AuditedModel) -> None:
    facts = private.require_fit().require_privacy()
    planned = canaries.planned_guesses(100, expected_shift(facts), 1e-5)
    assert {train_canary_model(private, seed=seed).guesses.guessed for seed in (1, 2)} == {planned}
    q, noise = facts.sample_rate, facts.noise_multiplier
    assert expected_shift(facts) == pytest.approx(q * (20 / (noise**2 + q * (1 - q))) ** 0.5)
    assert expected_shift(None) == canaries.SHIFT_WITHOUT_NOISE
