"""Private steps of any network: packed into memory without a change of the result, and bounded for every engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from rft.backbones.classifier import new_head
from rft.plugins.privacy.training.gradients.engine_selection import (
    EngineSelection,
    build_network,
    eval_untrained_modules,
    select_engine,
)
from rft.plugins.privacy.training.gradients.engine_stepper import EngineStepper, pack_units
from rft.plugins.privacy.training.gradients.engines import Engine, Functorch, Hooks, OneByOne
from rft.plugins.privacy.training.randomness import random_streams
from rft.plugins.privacy.training.sampling import PoissonSampler
from rft.plugins.privacy.training.stepper import build_engine_stepper
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.runtime.devices.fitting_batches import FittingSize
from rft.training import Job, Task
from tests.support import privacy_cases as cases
from tests.support import step_cases as given
from tests.support.features_cases import as_dense

PERSONS = np.array(list("aababccccddd"))


def network_steps(task: Task, engine: type[Engine], rows_at_once: int = 1000) -> EngineStepper:
    """Return steps without noise whose dropout is switched off."""
    units, network = unit_of_row(task), eval_untrained_modules(build_network(task, 0))
    plan = given.plans(task, norm=0.3)[0]
    return EngineStepper(
        network=network,
        engine=engine(network),
        task=task,
        units=units,
        members=None,
        size=FittingSize(rows_at_once),
        sampler=PoissonSampler(random_streams("secret", 0).sampling, plan.n, 0.5),
        gaussian=given.silent_noise(plan),
    )


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_step_is_that_of_opacus() -> None:
    task = given.head_task()
    head = new_head(6, 3, False, 1).train()
    model = GradSampleModule(head, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(head.parameters(), lr=1.0), noise_multiplier=0.0, max_grad_norm=0.7, expected_batch_size=6
    )
    batch = task.features.batch(np.arange(12))
    nn.functional.cross_entropy(model(batch), task.labels, reduction="sum").backward()
    optimizer.step()
    steps = given.stepper("network", task, given.plans(task), [Job(1)], given.Silent())
    steps.set_gradient(given.sample(range(12)))
    assert all(
        torch.allclose(ours.grad, theirs.grad, atol=1e-6)
        for ours, theirs in zip(steps.parameters, head.parameters(), strict=True)
    )


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 5, 11])
@pytest.mark.parametrize("units", [None, PERSONS], ids=["examples", "persons"])
@pytest.mark.parametrize("views", [1, 2])
def test_what_does_not_fit_is_run_in_parts_with_the_same_result(
    rows_at_once: int, units: np.ndarray | None, views: int
) -> None:
    task = given.head_task(units=units, views=views, class_weights=torch.tensor([1.0, 2.0, 0.5]))
    as_dense(task.features).tensor[4 * views, 2] = math.nan
    steps = given.stepper("network", task, given.plans(task), noise=given.Silent())
    assert isinstance(steps, EngineStepper)
    drawn = given.sample(range(steps.sampler.n))
    in_parts = replace(steps, size=FittingSize(rows_at_once))
    whole = given.gradient(steps, drawn)
    assert np.abs(given.gradient(in_parts, drawn) - whole).max() < 1e-6
    assert steps.set_gradient(drawn) == in_parts.set_gradient(drawn) == 1


def test_packing_keeps_units_whole_and_parts_small() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        units = rng.integers(0, rng.integers(1, 12), size=rng.integers(0, 40))
        limit = int(rng.integers(1, 12))
        groups = list(pack_units(units, limit))
        assert sorted(np.concatenate([part for group in groups for part in group] or [[]])) == list(range(len(units)))
        assert all(0 < len(part) <= limit for group in groups for part in group)
        people = [{int(unit) for part in group for unit in units[part]} for group in groups]
        assert sum(map(len, people)) == len(set(units.tolist()))  # nobody is in two groups
        assert all(len(group) == 1 or len(who) == 1 for group, who in zip(groups, people, strict=True))


NETWORKS: list[tuple[Callable[[], nn.Module], Callable[..., cases.Batch], type[Engine]]] = [
    (cases.cnn, cases.maps, Hooks),
    (cases.resnet, cases.maps, Functorch),
    (cases.Odd, cases.vectors, Functorch),
    (cases.gpt, cases.texts, Hooks),
    (cases.bert, cases.texts, OneByOne),
]
IDS = [build.__name__ for build, _, _ in NETWORKS]


@pytest.mark.parametrize(("make", "data", "engine"), NETWORKS, ids=IDS)
@pytest.mark.parametrize("rows_at_once", [100, 3])
def test_without_one_unit_the_sum_changes_by_the_clipping_norm_at_most(
    make: Callable[[], nn.Module], data: Callable[..., cases.Batch], engine: type[Engine], rows_at_once: int
) -> None:
    """The claim that the proof rests on, for units of one to five rows, the longest texts' owner among them."""
    everything = data()
    if "features" in everything:
        everything["features"] *= torch.logspace(-1, 1, 12).reshape(-1, *[1] * (everything["features"].dim() - 1))
    task = cases.task(cases.seeded(make), everything, units=np.array(list("abbcccddddde")))
    steps = network_steps(task, engine, rows_at_once)
    total = given.gradient(steps, given.sample(range(5)))
    without = [given.gradient(steps, given.sample(set(range(5)) - {unit})) for unit in range(5)]
    changes = [float(np.linalg.norm(total - value)) * steps.gaussian.divisor for value in without]
    assert max(changes) <= 0.3 * (1 + 1e-5)
    assert max(changes) > 0.99 * 0.3  # some are clipped, or the bound would show nothing


@pytest.mark.parametrize(("make", "data", "engine"), NETWORKS[:4], ids=IDS[:4])
def test_a_step_of_a_network_is_the_sum_of_clipped_gradients(
    make: Callable[[], nn.Module], data: Callable[..., cases.Batch], engine: type[Engine]
) -> None:
    task = cases.task(cases.seeded(make), data(), units=PERSONS, class_weights=torch.tensor([0.5, 2.0, 3.0]))
    steps = network_steps(task, engine)
    for drawn in ((0, 1, 2, 3), (1, 3)):
        wanted, _ = given.clipped_sum(task, eval_untrained_modules(steps.copy_network(0)), drawn, 0.3)
        total = given.gradient(steps, given.sample(drawn)) * steps.gaussian.divisor
        assert np.linalg.norm(total - wanted) < 1e-5 * np.linalg.norm(wanted)


@pytest.mark.filterwarnings("error")
def test_views_of_an_example_are_averaged_before_clipping_whatever_is_trained() -> None:
    read: list[torch.Tensor] = []

    class Watched(cases.Columns):
        def batch(self, rows: Any, view: Any = None) -> cases.Batch:
            read.append(view)
            return super().batch(rows, view)

    make = cases.seeded(lambda: cases.OnFeatures(nn.Linear(8, 3)))
    task = cases.task(make, {}, features=Watched(cases.vectors(), views=3), labels=torch.arange(12) % 3)
    steps = network_steps(task, Hooks)
    wanted, _ = given.clipped_sum(task, eval_untrained_modules(steps.copy_network(0)), range(12), 0.3)
    read.clear()
    total = given.gradient(steps, given.sample(range(12))) * steps.gaussian.divisor
    assert np.abs(total - wanted).max() < 1e-5
    assert torch.cat(read).bincount().tolist() == [12, 12, 12]  # each view once: nothing is drawn
    network_steps(replace(task, features=Watched(cases.vectors())), Hooks).set_gradient(given.sample(range(12)))
    assert read[-1] is None


def test_a_network_runs_no_more_rows_at_once_than_the_batch_size() -> None:
    """A head takes as many as there is room for; the activations of others weigh more than its gradients."""
    deep, head = cases.task(cases.seeded(cases.cnn), cases.maps()), given.head_task()
    for task, rows in ((deep, 16), (head, 512 * 2**20 // (4 * 21))):
        choice: EngineSelection = select_engine(task)
        steps = build_engine_stepper(
            task, np.arange(12), Job(0), given.plans(task)[0], choice, random_streams("secret", 0)
        )
        assert steps.rows_at_once == rows
    assert select_engine(deep).trained_parameters == 585


def test_the_network_is_given_back_without_what_the_engine_hung_on_it() -> None:
    task = cases.task(cases.seeded(cases.cnn), cases.maps())
    steps = network_steps(task, Hooks)
    steps.set_gradient(given.sample(range(12)))
    copy = steps.copy_network(0)
    assert all(torch.equal(a, b) for a, b in zip(copy.parameters(), steps.network.parameters(), strict=True))
    assert not any(module._forward_hooks for module in copy.modules())
    steps.close()
    assert not any(module._forward_hooks for module in steps.network.modules())
