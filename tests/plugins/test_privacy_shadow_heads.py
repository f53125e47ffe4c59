"""Shadow heads on one sample: the same clipped sums, steps and outcomes as the private trainer's own."""

from __future__ import annotations

from dataclasses import replace

import membership_cases as cases
import numpy as np
import pytest
import torch

from rft.errors import RftError
from rft.features import Dense
from rft.plugins.privacy import lira, shadow_heads, shadows
from rft.plugins.privacy.head_steps import Examples, HeadSteps
from rft.plugins.privacy.noise import Gaussian
from rft.plugins.privacy.owners import rows_by_unit, unit_of_row
from rft.plugins.privacy.randomness import draws
from rft.plugins.privacy.sampling import PoissonSampler, Sample
from rft.plugins.privacy.trainer import DPTrainer
from rft.training import Job, Task, linear_heads
from rft.training.linear_heads import Heads, vectors

CLIP = 0.7


def task_of(n: int = 60, *, rows_per_unit: int = 0, views: int = 1, weighted: bool = False) -> Task:
    made = cases.subject(n, 10, rows_per_unit=rows_per_unit, views=views).need("task")
    weights = torch.tensor([0.5, 1.0, 3.0]) if weighted else None
    if views > 1:
        spread = made.features.tensor + 0.3 * torch.arange(views).repeat(n)[:, None]
        made = replace(made, features=Dense(spread, views))
    return replace(made, class_weights=weights)


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
    data, units, random = vectors(task), unit_of_row(task), draws("seeded", 0)
    assert data is not None
    heads = Heads(task, range(5))
    sampler = PoissonSampler(random.sampling, units.max() + 1, 0.5)
    steps = HeadSteps(heads, Examples.of(data, units, jobs), sampler, Gaussian(random.noise, np.zeros(5), CLIP, 1.0))
    sample = sampler.draw()
    steps.set_gradient(Sample(sample.units.repeat(5, axis=0), sample.taken.repeat(5, axis=0)))
    expected = [parameter.grad for parameter in heads.parameters]
    rows = torch.from_numpy(rows_by_unit(units)[sample.units[0]])
    members = torch.from_numpy(np.stack([job.members for job in jobs], axis=1)).float()  # type: ignore[arg-type]
    found = shadow_heads.clipped_sums(heads, data, rows, members, max_grad_norm=CLIP)
    for one, other in zip(found, expected, strict=True):
        assert other is not None
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


def test_no_unit_adds_more_than_the_clipping_norm() -> None:
    task = task_of(rows_per_unit=4)
    data, heads = vectors(task), Heads(task, range(3))
    assert data is not None
    for rows in torch.from_numpy(rows_by_unit(unit_of_row(task))):
        by_weight, by_bias = shadow_heads.clipped_sums(heads, data, rows[None], torch.ones(60, 3), max_grad_norm=0.01)
        norms = (by_weight.square().sum((1, 2)) + by_bias.square().sum(1)).sqrt()
        assert norms.numpy() == pytest.approx([0.01] * 3, rel=1e-4)


def test_an_example_that_is_not_a_number_adds_nothing() -> None:
    task = task_of()
    data, heads = vectors(task), Heads(task, range(3))
    assert data is not None
    broken = data.stored.clone()
    broken[7, 3] = torch.nan
    rows, members = torch.arange(20)[:, None], torch.ones(60, 3)
    found = shadow_heads.clipped_sums(heads, replace(data, stored=broken), rows, members, max_grad_norm=CLIP)
    without = shadow_heads.clipped_sums(heads, data, rows[rows[:, 0] != 7], members, max_grad_norm=CLIP)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(found, without, strict=True))
    nobody = shadow_heads.clipped_sums(heads, data, rows[:0], members, max_grad_norm=CLIP)
    assert all((each == 0).all() for each in nobody)


def test_confidences_are_distributed_as_those_of_the_trainer() -> None:
    """Of 48 heads trained either way on the same members: equal means and deviations, example by example."""
    trainer = DPTrainer(epsilon=8.0, randomness="seeded")
    subject = cases.subject(80, 40, trainer=trainer, recipe=replace(cases.OVERFITTED, epochs=6, learning_rate=0.2))
    pool = shadows.pool_of(subject)
    members = shadows.subsets(pool.owners, 48, share=pool.share, rng=np.random.default_rng(0))
    jobs = [Job(number, chosen) for number, chosen in enumerate(members)]
    labels, made = pool.task.labels.numpy(), []
    for fits in (
        shadow_heads.fit(pool.task, jobs, subject.need("fit").facts),
        shadows.trainer_of(subject).fit(pool.task, jobs),
    ):
        made.append(
            np.stack([lira.confidence(x, labels) for x in linear_heads.logits(pool.task, fits, pool.task.features)])
        )
    shared, own = made
    deviation = np.sqrt(shared.var(axis=0, ddof=1) / 48 + own.var(axis=0, ddof=1) / 48)
    assert np.std((shared.mean(axis=0) - own.mean(axis=0)) / deviation) < 1.5
    assert shared.std(axis=0).mean() == pytest.approx(own.std(axis=0).mean(), rel=0.1)
    apart = [scores[members].mean() - scores[~members].mean() for scores in made]
    assert apart[0] == pytest.approx(apart[1], abs=0.1)


def test_only_heads_by_steps_and_units_of_few_rows_suit() -> None:
    trainer = DPTrainer(epsilon=1.0)
    assert shadow_heads.suits(task_of(), trainer)
    assert not shadow_heads.suits(task_of(), replace(trainer, method="least_squares"))
    assert not shadow_heads.suits(task_of(70, rows_per_unit=66), trainer)


def test_weights_that_are_not_finite_are_refused() -> None:
    subject = cases.subject(60, 40, trainer=DPTrainer(epsilon=8.0, randomness="seeded"))
    task = subject.need("task")
    wild = replace(task, recipe=replace(task.recipe, learning_rate=1e38))
    with pytest.raises(RftError, match="not finite"):
        shadow_heads.fit(wild, [Job(0), Job(1)], subject.need("fit").facts)
