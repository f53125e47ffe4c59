"""Private steps of linear heads: those of Opacus, and many heads at once as if each were alone."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from opacus.optimizers import optimizer as opacus_optimizer
from torch import Tensor, nn

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.plugins.privacy.training.gradients.head_stepper import HeadStepper
from rft.plugins.privacy.training.unit_index import rows_by_unit
from rft.training import Job, Recipe
from tests.support import step_cases as given
from tests.support.features_cases import as_dense

PERSONS = np.array(list("aaabbcddddee"))
SGD = Recipe(1, "sgd", 0.5, 0.9, 0.01, 16)
ADAMW = Recipe(1, "adamw", 0.05, 0.0, 0.01, 16)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("recipe", [SGD, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("row_norm", [False, True])
def test_steps_are_those_of_opacus_on_the_same_batches_and_noise(
    recipe: Recipe, row_norm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = given.head_task(200, 64, 10, new_suffix=partial(new_head, 64, 10, row_norm), recipe=recipe)
    plans = given.plans(task, [1.3], rate=0.2)
    random = np.random.default_rng(5)
    noise = [random.normal(size=650) for _ in range(5)]

    ours = given.stepper("heads", task, plans, [Job(4)], given.Given(list(noise)))
    our_optimizer = recipe.build_optimizer(ours.parameters)
    head = new_head(64, 10, row_norm, 4).train()
    model = GradSampleModule(head, loss_reduction="sum")
    opacus = DPOptimizer(
        recipe.build_optimizer(list(head.parameters())), noise_multiplier=1.3, max_grad_norm=0.7, expected_batch_size=40
    )
    for step in range(5):
        monkeypatch.setattr(opacus_optimizer, "_generate_noise", standard_normals(noise[step]))
        drawn = np.flatnonzero(random.random(200) < 0.2)
        opacus.zero_grad()
        loss = nn.functional.cross_entropy(model(task.features.batch(drawn)), task.labels[drawn], reduction="sum")
        loss.backward()
        opacus.step()
        ours.set_gradient(given.sample(drawn))
        our_optimizer.step()
        for mine, theirs in zip(ours.parameters, head.parameters(), strict=True):
            assert float((mine.grad[0] - theirs.grad).abs().max()) < 1e-6
    moved = [mine[0] for mine in ours.parameters]
    assert all(torch.allclose(mine, theirs, atol=1e-5) for mine, theirs in zip(moved, head.parameters(), strict=True))


def standard_normals(row: np.ndarray) -> object:
    """Return what takes the place of Opacus' noise: the next numbers of the row, parameter after parameter."""
    left = iter(row)

    def noise_from_list(std: float, reference: Tensor, **_ignored: object) -> Tensor:
        drawn = np.array([next(left) for _ in range(reference.numel())])
        return torch.from_numpy(drawn.reshape(reference.shape) * std).float()

    return noise_from_list


@pytest.mark.parametrize("units", [None, PERSONS], ids=["examples", "persons"])
@pytest.mark.parametrize("views", [1, 2])
def test_each_of_many_heads_is_as_if_it_were_alone(units: np.ndarray | None, views: int) -> None:
    """Each with a sample, members, noise and values of its own; one drew nobody, one may see none of whom it drew."""
    sigmas = [0.5, 1.0, 2.0, 4.0, 8.0]
    task = given.head_task(units=units, views=views, class_weights=torch.tensor([1.0, 0.3, 2.5]))
    as_dense(task.features).tensor[0] = math.nan  # of unit 0, which shorter samples are filled up with
    plans = given.plans(task, sigmas)
    random = np.random.default_rng(1)
    members = [None, random.random(12) < 0.5, np.ones(12, bool), np.zeros(12, bool), random.random(12) < 0.8]
    n = plans[0].n
    drawn = [np.flatnonzero(random.random(n) < share) for share in (0.9, 0.5, 0.0, 0.9, 0.3)]
    drawn[0] = np.union1d(drawn[0], [0])
    noise = random.normal(size=(5, 21))
    jobs = [Job(seed, member) for seed, member in enumerate(members)]
    steps = given.stepper("heads", task, plans, jobs, given.Given([noise]))
    counts = steps.set_gradient(given.sample(*drawn))
    gradients = torch.cat([parameter.grad.flatten(1) for parameter in steps.parameters], dim=1).double().numpy()
    for head, job in enumerate(jobs):
        wanted, broken = given.clipped_sum(task, new_head(6, 3, False, job.seed), drawn[head], 0.7, job.members)
        wanted = (wanted + sigmas[head] * 0.7 * noise[head]) / plans[0].divisor
        assert np.abs(gradients[head] - wanted).max() < 1e-6
        assert counts[head] == broken
    assert counts[0] > 0 == counts[2]


def test_features_too_large_to_square_count_as_not_finite() -> None:
    task = given.head_task()
    as_dense(task.features).tensor[4] = 1e25
    steps = given.stepper("heads", task, given.plans(task), noise=given.Silent())
    both, first = (given.sample(drawn) for drawn in ((4, 5), (5,)))
    assert steps.set_gradient(both).tolist() == [1]
    assert np.array_equal(given.gradient(steps, both), given.gradient(steps, first))


def test_norms_hold_in_float32_whatever_the_scale() -> None:
    """The largest contribution of an example, where the closed form multiplies small by large."""
    for scale in (1e-12, 1e-3, 1.0, 1e3, 1e8, 1e15):
        task = given.head_task(40, 64, 10)
        as_dense(task.features).tensor.mul_(scale)
        steps = given.stepper("heads", task, given.plans(task, norm=1e-3), noise=given.Silent())
        lengths = [np.linalg.norm(given.gradient(steps, given.sample((row,)))) for row in range(40)]
        assert max(lengths) * 20 <= 1e-3 * (1 + 1e-5)


def test_a_head_leaves_the_stack_as_a_network_of_its_own() -> None:
    task = given.head_task(new_suffix=partial(new_head, 6, 3, True))
    steps = given.stepper("heads", task, given.plans(task, [1.0, 1.0]), [Job(5), Job(6)])
    assert isinstance(steps, HeadStepper)
    for number, seed in enumerate((5, 6)):
        fresh, network = new_head(6, 3, True, seed), steps.copy_network(number)
        batch = task.features.batch([0, 1, 2])
        assert torch.equal(network(batch), fresh(batch))
        state = steps.trained_states()[number]
        assert list(state) == list(fresh.state_dict())
        assert all(torch.equal(state[name], tensor) for name, tensor in fresh.state_dict().items())
    with torch.no_grad():
        steps.copy_network(0).linear.weight.zero_()
    assert steps.parameters[0].any()


def test_other_examples_take_the_place_of_the_real_ones_only() -> None:
    """As the self-test uses it: the same heads, noise and divisor; members no longer matter; views are all alike."""
    task = given.head_task(views=2)
    plans = given.plans(task)
    steps = given.stepper("heads", task, plans, [Job(0, np.zeros(12, bool))], given.Silent())
    features = torch.randn(9, 6, generator=torch.Generator().manual_seed(9))
    labels, units = torch.arange(9) % 3, np.arange(9) // 3
    replaced = steps.with_examples({"features": features}, labels, units)
    made_up = replace(task, features=Dense(features.repeat_interleave(2, 0), 2), labels=labels, units=units.astype(str))
    wanted, _ = given.clipped_sum(made_up, steps.copy_network(0), range(3), 0.7)
    assert np.abs(given.gradient(replaced, given.sample(range(3))) * plans[0].divisor - wanted).max() < 1e-6
    assert not given.gradient(steps, given.sample(range(3))).any()


def test_rows_are_found_by_their_unit() -> None:
    table = rows_by_unit(np.array([2, 0, 2, 1, 2]))
    assert table.tolist() == [[1, -1, -1], [3, -1, -1], [0, 2, 4]]
    random = np.random.default_rng(0)
    for _ in range(50):
        units = np.unique(random.integers(0, 9, random.integers(1, 40)), return_inverse=True)[1]
        rows = rows_by_unit(units)
        for unit, rows_of_unit in enumerate(rows):
            assert rows_of_unit[rows_of_unit >= 0].tolist() == np.flatnonzero(units == unit).tolist()
