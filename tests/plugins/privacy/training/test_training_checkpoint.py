"""A training that goes on from what was saved is the training that was never interrupted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from rft.plugins.privacy.training import training_checkpoint
from rft.plugins.privacy.training.gradients.engine_selection import select_engine
from rft.plugins.privacy.training.randomness import RandomStreams, SeededSource, random_streams
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.stepper import PrivateStepper, StepCounters, build_engine_stepper, private_step
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.training import Job, Recipe, Task
from tests.support import privacy_cases as cases
from tests.support import step_cases as given

RECIPES = {
    "sgd with momentum": Recipe(1, "sgd", 0.3, 0.9, 0.01, 16),
    "plain sgd": Recipe(1, "sgd", 0.3, 0.0, 0.0, 16),
    "adamw": Recipe(1, "adamw", 0.05, 0.0, 0.01, 16),
}


def head_stepper() -> PrivateStepper:
    task = given.head_task()
    return given.stepper("heads", task, given.plans(task, [1.0, 3.0]), noise=SeededSource(np.random.default_rng(3)))


def network_stepper() -> PrivateStepper:
    task: Task = cases.task(cases.seeded(cases.Odd), cases.vectors())
    secret = random_streams("secret", 0)
    drawn = RandomStreams(secret.sampling, SeededSource(np.random.default_rng(3)), 0)
    return build_engine_stepper(task, unit_of_row(task), Job(0), given.plans(task)[0], select_engine(task), drawn)


def sample_of_step(stepper: PrivateStepper, step: int) -> Sample:
    heads = len(stepper.gaussian.noise_multipliers)
    return given.sample(*([(step + head) % 12, (2 * step + 5) % 12] for head in range(heads)))


def take_steps(stepper: PrivateStepper, optimizer: torch.optim.Optimizer, steps: range) -> list[Tensor]:
    tally = StepCounters.start_at_zero(len(stepper.gaussian.noise_multipliers))
    for step in steps:
        private_step(stepper, optimizer, sample_of_step(stepper, step), tally)
    return [parameter.detach().clone() for parameter in stepper.parameters]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("make", [head_stepper, network_stepper])
@pytest.mark.parametrize("at", [0, 1, 4])
def test_it_goes_on_as_if_nothing_had_happened(make: Callable[[], PrivateStepper], recipe: Recipe, at: int) -> None:
    whole = make()
    expected = take_steps(whole, recipe.build_optimizer(whole.parameters), range(8))

    first = make()
    optimizer = recipe.build_optimizer(first.parameters)
    take_steps(first, optimizer, range(at))
    kept = load(save(training_checkpoint.checkpoint_tensors(first.parameters, optimizer)))

    second = make()
    for _ in range(at):  # the noise that was used; in earnest it is drawn afresh
        second.set_gradient(given.sample(*[()] * len(second.gaussian.noise_multipliers)))
    with torch.no_grad():
        for parameter in second.parameters:
            parameter.fill_(7.0)  # a wrong start, which must not matter
    optimizer = recipe.build_optimizer(second.parameters)
    training_checkpoint.restore_training(kept, second.parameters, optimizer)
    for parameter in second.parameters:
        parameter.grad = None
    steps_taken = take_steps(second, optimizer, range(at, 8))
    assert all(torch.equal(a, b) for a, b in zip(steps_taken, expected, strict=True))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_what_is_saved_are_copies_and_all_that_the_optimizer_keeps(recipe: Recipe) -> None:
    stepper = head_stepper()
    optimizer = recipe.build_optimizer(stepper.parameters)
    take_steps(stepper, optimizer, range(3))
    tensors = training_checkpoint.checkpoint_tensors(stepper.parameters, optimizer)
    names = {"sgd with momentum": {"momentum_buffer"}, "plain sgd": set(), "adamw": {"step", "exp_avg", "exp_avg_sq"}}
    kept = next(names[name] for name, candidate in RECIPES.items() if candidate is recipe)
    assert set(tensors) == {f"parameter.{number}" for number in (0, 1)} | {
        f"optimizer.{number}.{name}" for number in (0, 1) for name in kept
    }
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    take_steps(stepper, optimizer, range(3, 6))
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors.items())
    assert all(tensor.device.type == "cpu" and not tensor.requires_grad for tensor in tensors.values())
