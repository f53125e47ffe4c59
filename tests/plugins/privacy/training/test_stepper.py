"""What both ways of taking a private step promise: the clipped, noised and divided sum, and nothing that couples."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.plugins.privacy.training.stepper import StepCounters, private_step
from rft.training import Job, Task
from tests.support import step_cases as given
from tests.support.features_cases import as_dense

PERSONS = np.array(list("aaabbcddddee"))
WEIGHTS = torch.tensor([0.5, 2.0, 3.5])
EARLY = np.arange(12) < 8

NOISE, NORM = 1.5, 0.7

CASES: dict[str, dict[str, Any]] = {
    "one row a unit": {},
    "rows of persons": {"units": PERSONS},
    "views": {"views": 3},
    "views of persons": {"views": 2, "units": PERSONS},
    "class weights": {"class_weights": WEIGHTS},
    "weights, views and persons": {"class_weights": WEIGHTS, "views": 2, "units": PERSONS},
    "row norm": {"new_suffix": partial(new_head, 6, 3, True)},
    "one person has all": {"units": np.full(12, "one")},
}
SPOILT = {"nothing spoilt": None, "nan": math.nan, "inf": -math.inf}


@pytest.mark.parametrize("kind", given.KINDS)
@pytest.mark.parametrize("members", [None, EARLY], ids=["everybody", "members"])
@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_step_is_the_noised_sum_of_clipped_gradients(
    case: dict[str, Any], spoilt: float | None, members: np.ndarray | None, kind: str
) -> None:
    task = given.head_task(**case)
    if spoilt is not None:
        as_dense(task.features).tensor[[4, -1], 2] = spoilt  # one of a member, one not
    plans = given.plans(task, [NOISE], norm=NORM)
    everyone = range(plans[0].n)
    for drawn in ((), everyone[:1], everyone[1::2], everyone):
        noise = np.random.default_rng(7).normal(size=21)
        steps = given.stepper(kind, task, plans, [Job(3, members)], given.Given([noise]))
        wanted, broken = given.clipped_sum(task, steps.copy_network(0), drawn, NORM, members)
        assert steps.set_gradient(given.sample(drawn)) == broken
        joined_values = np.concatenate([parameter.grad.double().numpy().ravel() for parameter in steps.parameters])
        assert np.abs(joined_values - (wanted + NOISE * NORM * noise) / plans[0].divisor).max() < 1e-6


@pytest.mark.parametrize("kind", given.KINDS)
@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_the_label_of_one_example_leaves_the_gradients_of_all_others_alone(
    kind: str, class_weights: torch.Tensor | None
) -> None:
    """A mean loss weighted by class divides by the weights of the whole batch: one example would scale the others."""
    others = []
    for label in range(3):
        task = given.head_task(class_weights=class_weights)
        task.labels[1] = label
        steps = given.stepper(kind, task, given.plans(task), noise=given.Silent())
        together, alone = (given.gradient(steps, given.sample(drawn)) for drawn in ((0, 1, 2), (1,)))
        others.append(together - alone)
    assert np.abs(others[0]).max() > 1e-2
    assert np.abs(others[1] - others[0]).max() < 1e-7
    assert np.abs(others[2] - others[0]).max() < 1e-7


@pytest.mark.parametrize("kind", given.KINDS)
def test_one_person_moves_a_step_by_the_clipping_norm_at_most(kind: str) -> None:
    features, labels = Dense(torch.full((50, 6), 4.0)), torch.zeros(50, dtype=torch.long)
    apart = given.head_task(n=50, features=features, labels=labels)
    together = replace(apart, units=np.full(50, "one"))
    moved = []
    for task in (together, apart):
        plans = given.plans(task, norm=NORM)
        steps = given.stepper(kind, task, plans, noise=given.Silent())
        total = given.gradient(steps, given.sample(range(plans[0].n))) * plans[0].divisor
        moved.append(float(np.linalg.norm(total)))
    assert moved[0] == pytest.approx(NORM, rel=1e-5)
    assert moved[1] > 10 * NORM  # rows clipped one by one would not bound the person


@pytest.mark.parametrize("kind", given.KINDS)
def test_a_persons_sum_that_overflows_poisons_nothing(kind: str) -> None:
    task = given.head_task(n=6, units=np.array(list("aaaaab")), labels=torch.tensor([0, 0, 0, 0, 0, 1]))
    for huge in (1e15, 1e18, 1e19, 1.5e38):
        as_dense(task.features).tensor[:5], as_dense(task.features).tensor[5] = huge, 1.0
        steps = given.stepper(kind, task, given.plans(task), noise=given.Silent())
        with torch.no_grad():
            steps.parameters[0].zero_()
        both, first = (given.gradient(steps, given.sample(drawn)) for drawn in ((0, 1), (1,)))
        assert np.isfinite(both).all()
        assert np.linalg.norm(both - first) <= NORM * (1 + 1e-5)  # the divisor is 1


def empty_steps(kind: str, count: int) -> tuple[np.ndarray, float]:
    """Return gradients of empty samples, (steps, heads, numbers), and their promised deviation."""
    task = given.head_task()
    plans = given.plans(task, [NOISE])
    steps = given.stepper(kind, task, plans)
    gradients = np.stack([given.gradient(steps, given.sample(())) for _ in range(count)])
    return gradients, NOISE * plans[0].max_grad_norm / plans[0].divisor


@pytest.mark.parametrize("kind", given.KINDS)
def test_an_empty_sample_is_a_step_of_fresh_noise(kind: str) -> None:
    gradients, deviation = empty_steps(kind, 400)
    assert gradients.std() == pytest.approx(deviation, rel=0.06)  # 8,400 numbers: more than seven deviations
    assert len(np.unique(gradients, axis=0)) == 400


@pytest.mark.parametrize("kind", given.KINDS)
def test_a_step_is_taken_and_counted_whoever_takes_part(kind: str) -> None:
    task = given.head_task()
    as_dense(task.features).tensor[3] = math.nan
    steps = given.stepper(kind, task, given.plans(task))
    optimizer, tally = torch.optim.SGD(steps.parameters, lr=1.0), StepCounters.start_at_zero(1)
    for drawn in ((), (3, 4), (5,), ()):
        before = [parameter.detach().clone() for parameter in steps.parameters]
        private_step(steps, optimizer, given.sample(drawn), tally)
        for old, new in zip(before, steps.parameters, strict=True):
            assert torch.allclose(new, old - new.grad)
            assert not torch.equal(new, old)
    assert list(vars(tally)) == ["non_finite_gradients"]  # how many samples were empty is not even counted
    assert tally.non_finite_gradients.tolist() == [1]


def with_persons(task: Task) -> Task:
    return replace(task, units=PERSONS)


@pytest.mark.parametrize("kind", given.KINDS)
@pytest.mark.parametrize("change", [lambda task: task, with_persons])
def test_without_one_unit_the_sum_changes_by_the_clipping_norm_at_most(kind: str, change: Any) -> None:
    """The claim that the proof rests on."""
    task = change(given.head_task(class_weights=WEIGHTS, views=2))
    steps = given.stepper(kind, task, given.plans(task, norm=NORM), noise=given.Silent())
    n, divisor = steps.sampler.n, steps.gaussian.divisor
    total = given.gradient(steps, given.sample(range(n)))
    without = [given.gradient(steps, given.sample(set(range(n)) - {unit})) for unit in range(n)]
    changes = [float(np.linalg.norm(total - value)) * divisor for value in without]
    assert max(changes) <= NORM * (1 + 1e-5)
    assert max(changes) > 0.99 * NORM  # some are clipped, or the bound would show nothing
