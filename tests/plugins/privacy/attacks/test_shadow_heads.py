"""Shadow heads on one sample: the same clipped sums, steps and outcomes as the private trainer's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rft.errors import RftError
from rft.features import Dense
from rft.plugins.privacy.attacks import shadow_heads, shadows
from rft.plugins.privacy.training.gradients.head_stepper import HeadStepper, UnitExamples
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import random_streams
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample
from rft.plugins.privacy.training.self_test import runner
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.plugins.privacy.training.unit_index import rows_by_unit, unit_of_row
from rft.training import Job, Task, linear_heads
from rft.training.linear_heads import Heads, linear_head_vectors
from tests.support import membership_cases as cases
from tests.support.features_cases import as_dense
from tests.support.privacy_cases import private_facts

CLIP = 0.7


def task_of(n: int = 60, *, rows_per_unit: int = 0, views: int = 1, weighted: bool = False) -> Task:
    task = cases.audited_model(n, 10, rows_per_unit=rows_per_unit, views=views).require_task()
    weights = torch.tensor([0.5, 1.0, 3.0]) if weighted else None
    if views > 1:
        spread = as_dense(task.features).tensor + 0.3 * torch.arange(views).repeat(n)[:, None]
        task = replace(task, features=Dense(spread, views))
    return replace(task, class_weights=weights)


def jobs_of(n: int, heads: int = 5) -> list[Job]:
    rng = np.random.default_rng(0)
    return [Job(number, rng.random(n) < 0.6) for number in range(heads)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("rows_per_unit", [0, 4])
def test_sums_are_those_of_the_private_trainer_on_the_same_sample(
    rows_per_unit: int, views: int, weighted: bool
) -> None:
    task, jobs = task_of(rows_per_unit=rows_per_unit, views=views, weighted=weighted), jobs_of(60)
    data, units, random = linear_head_vectors(task), unit_of_row(task), random_streams("seeded", 0)
    assert data is not None
    heads = Heads(task, range(5))
    sampler = PoissonSampler(random.sampling, units.max() + 1, 0.5)
    steps = HeadStepper(
        heads, UnitExamples.from_units(data, units, jobs), sampler, GaussianNoise(random.noise, np.zeros(5), CLIP, 1.0)
    )
    sample = sampler.draw_sample()
    steps.set_gradient(Sample(sample.units.repeat(5, axis=0), sample.taken.repeat(5, axis=0)))
    expected = [parameter.grad for parameter in heads.parameters]
    rows = torch.from_numpy(rows_by_unit(units)[sample.units[0]])
    members = torch.from_numpy(np.stack([job.members for job in jobs if job.members is not None], axis=1)).float()
    clipped = shadow_heads.clipped_sums(heads, data, rows, members, max_grad_norm=CLIP)
    for first, second in zip(clipped, expected, strict=True):
        assert second is not None
        assert torch.allclose(first, second, rtol=1e-5, atol=1e-5 * float(second.abs().max()))


def test_no_unit_adds_more_than_the_clipping_norm() -> None:
    task = task_of(rows_per_unit=4)
    data, heads = linear_head_vectors(task), Heads(task, range(3))
    assert data is not None
    for rows in torch.from_numpy(rows_by_unit(unit_of_row(task))):
        by_weight, by_bias = shadow_heads.clipped_sums(heads, data, rows[None], torch.ones(60, 3), max_grad_norm=0.01)
        norms = (by_weight.square().sum((1, 2)) + by_bias.square().sum(1)).sqrt()
        assert norms.numpy() == pytest.approx([0.01] * 3, rel=1e-4)


def test_an_example_that_is_not_a_number_adds_nothing() -> None:
    task = task_of()
    data, heads = linear_head_vectors(task), Heads(task, range(3))
    assert data is not None
    broken = data.stored.clone()
    broken[7, 3] = torch.nan
    rows, members = torch.arange(20)[:, None], torch.ones(60, 3)
    clipped = shadow_heads.clipped_sums(heads, replace(data, stored=broken), rows, members, max_grad_norm=CLIP)
    without = shadow_heads.clipped_sums(heads, data, rows[rows[:, 0] != 7], members, max_grad_norm=CLIP)
    assert all(torch.allclose(first, second, atol=1e-6) for first, second in zip(clipped, without, strict=True))
    nobody = shadow_heads.clipped_sums(heads, data, rows[:0], members, max_grad_norm=CLIP)
    assert all((total == 0).all() for total in nobody)


@pytest.mark.parametrize(
    ("rows_per_unit", "views", "weighted"), [(0, 1, False), (0, 2, True), (4, 1, True), (4, 2, False)]
)
def test_a_head_alone_is_what_the_private_trainer_makes_of_the_same_random_numbers(
    rows_per_unit: int, views: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "run_self_test", lambda *_: ([], 0.0))  # it draws numbers, too
    task = task_of(rows_per_unit=rows_per_unit, views=views, weighted=weighted)
    for job in jobs_of(60, heads=2):
        (fit,) = DPTrainer(epsilon=8.0, randomness="seeded").fit(task, [job])
        (shadow,) = shadow_heads.fit(task, [job], fit.require_privacy())
        assert list(shadow.state) == list(fit.state)
        assert all(torch.allclose(shadow.state[name], fit.state[name], rtol=1e-4, atol=1e-4) for name in fit.state)


def test_members_decide_whom_a_head_has_seen() -> None:
    audited = cases.audited_model(80, 40, trainer=DPTrainer(epsilon=100.0, randomness="seeded"))
    pool = shadows.pool_examples(audited)
    jobs = [Job(0, pool.members), Job(0, ~pool.members)]
    fits = shadow_heads.fit(pool.task, jobs, audited.require_fit().require_privacy())
    first, second = linear_heads.compute_label_confidences(pool.task, fits, pool.task.features, pool.task.labels)
    assert np.median((first - second)[pool.members]) > 1
    assert np.median((second - first)[~pool.members]) > 1


def test_only_heads_by_steps_and_units_of_few_rows_suit() -> None:
    trainer = DPTrainer(epsilon=1.0)
    assert shadow_heads.can_train_together(task_of(), trainer)
    assert not shadow_heads.can_train_together(task_of(), replace(trainer, method="least_squares"))
    assert not shadow_heads.can_train_together(task_of(70, rows_per_unit=66), trainer)


def test_weights_that_are_not_finite_are_refused() -> None:
    task = task_of()
    wild = replace(task, recipe=replace(task.recipe, learning_rate=1e38))
    facts = private_facts(noise_multiplier=1.0, sample_rate=0.5, steps=9, max_grad_norm=1.0, divisor=30.0)
    with pytest.raises(RftError, match="not finite"):
        shadow_heads.fit(wild, [Job(0), Job(1)], facts)
