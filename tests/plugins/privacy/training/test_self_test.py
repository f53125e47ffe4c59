"""The self-test before training: what it reports, and that it leaves everything as it was."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from rft.errors import IntegrityError
from rft.plugins.privacy.training.gradients.engine_selection import select_engine
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import random_streams
from rft.plugins.privacy.training.self_test import runner
from rft.plugins.privacy.training.stepper import build_engine_stepper
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.training import Job
from tests.support import privacy_cases as cases
from tests.support import step_cases as given
from tests.support.features_cases import as_dense

PERSONS = np.repeat([f"{person:02}" for person in range(20)], 3)
CHECKS = [
    "sampling rate",
    "sample sizes",
    "independent samples",
    "noise of an empty sample",
    "fresh noise of an empty sample",
    "step with an empty sample",
    "frozen tensors",
    "divisor",
    "gradients",
    "clipping",
    "as many rows as a step has",
    "noise of made-up examples",
    "fresh noise of made-up examples",
    "not a number",
]


@pytest.mark.parametrize("kind", given.KINDS)
def test_each_check_is_a_row_with_what_was_expected_and_found(kind: str) -> None:
    task = given.head_task(60, units=PERSONS)
    plans = given.plans(task, [1.0, 2.0] if kind == "heads" else [1.0])
    rows, error = runner.run_self_test(given.stepper(kind, task, plans), task, plans)
    assert [row["check"] for row in rows] == CHECKS
    assert {row["outcome"] for row in rows} == {"passed"}
    assert all(set(row) == {"check", "expected", "found", "outcome", "description"} for row in rows)
    assert all(row["expected"] and row["found"] and row["description"].endswith(".") for row in rows)
    measured = {row["check"]: row["found"] for row in rows}
    assert float(measured["sampling rate"]) == pytest.approx(0.5, abs=0.1)
    assert float(measured["noise of an empty sample"]) == pytest.approx(1, abs=0.3)
    assert float(measured["noise of made-up examples"]) == pytest.approx(1, abs=0.3)
    assert (float(measured["divisor"]), float(measured["clipping"])) == (10.0, 1.0)
    assert "3 examples of one unit" in next(row["description"] for row in rows if row["check"] == "clipping")
    assert 0 < error < 1e-5
    json.dumps(rows, allow_nan=False)


def test_where_everybody_takes_part_there_is_nothing_to_vary() -> None:
    task = given.head_task()
    plans = given.plans(task, rate=1.0)
    rows, _ = runner.run_self_test(given.stepper("heads", task, plans), task, plans)
    assert [row["check"] for row in rows] == [name for name in CHECKS if name not in CHECKS[1:3]]


@pytest.mark.parametrize("kind", given.KINDS)
def test_parameters_gradients_and_examples_stay_as_they_were(kind: str) -> None:
    task = given.head_task(60, views=2, units=PERSONS)
    plans = given.plans(task)
    steps = given.stepper(kind, task, plans)
    stored, labels, state = as_dense(task.features).tensor.clone(), task.labels.clone(), torch.get_rng_state()
    values = [parameter.clone() for parameter in steps.parameters]
    runner.run_self_test(steps, task, plans)
    assert all(torch.equal(old, new) for old, new in zip(values, steps.parameters, strict=True))
    assert all(parameter.grad is None for parameter in steps.parameters)
    assert torch.equal(stored, as_dense(task.features).tensor)
    assert torch.equal(labels, task.labels)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_buffers_of_a_network_stay_as_they_were(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task = cases.task(cases.seeded(cases.resnet), cases.maps())
    plans = given.plans(task)
    steps = build_engine_stepper(
        task, unit_of_row(task), Job(2), plans[0], select_engine(task), random_streams("secret", 0)
    )
    assert steps.network is not None
    steps.network.layers[0].eval()
    modes = [module.training for module in steps.network.modules()]
    state = {name: tensor.clone() for name, tensor in steps.network.state_dict().items()}
    if fails:
        monkeypatch.setattr(GaussianNoise, "add_noise", lambda self, totals: totals)
        with pytest.raises(IntegrityError):
            runner.run_self_test(steps, task, plans)
    else:
        runner.run_self_test(steps, task, plans)
    assert [module.training for module in steps.network.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in steps.network.state_dict().items())


def test_what_failed_stands_in_the_error_with_what_was_expected() -> None:
    task = given.head_task()
    promised = given.plans(task, [1.0])
    steps = given.stepper("heads", task, given.plans(task, [0.5], norm=0.9))
    with pytest.raises(IntegrityError) as failed:
        runner.run_self_test(steps, task, promised)
    message = str(failed.value)
    assert message.startswith(
        "[privacy]: the self-test of private training failed, and nothing was trained (noise of an empty sample: 0.6"
    )
    assert ", expected 0.9" in message
    assert "please report it with this line" in message
    assert "sampling rate" not in message


@pytest.mark.parametrize(("change", "check"), [({"rate": 0.3}, "sampling rate"), ({"norm": 0.5}, "clipping")])
def test_the_numbers_that_count_are_those_of_the_plan(change: dict[str, float], check: str) -> None:
    task = given.head_task(60)
    steps = given.stepper("heads", task, given.plans(task))
    with pytest.raises(IntegrityError, match=check):
        runner.run_self_test(steps, task, given.plans(task, **change))


def test_twice_the_clipping_norm_is_not_made_up_for_by_half_the_noise() -> None:
    task = given.head_task(60)
    steps = given.stepper("heads", task, given.plans(task, [0.5], norm=1.4))
    with pytest.raises(IntegrityError, match="clipping: 2"):
        runner.run_self_test(steps, task, given.plans(task, [1.0], norm=0.7))


def test_no_private_example_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one lends its shape: all may be anything else."""
    for kind in given.KINDS:
        task = given.head_task(60)
        as_dense(task.features).tensor.fill_(math.nan)
        task.labels.fill_(2)
        plans, members = given.plans(task), np.zeros(60, dtype=bool)
        rows, _ = runner.run_self_test(given.stepper(kind, task, plans, [Job(0, members)]), task, plans)
        assert {row["outcome"] for row in rows} == {"passed"}


def test_seeded_steps_give_the_same_table_again() -> None:
    task = given.head_task(60)
    plans = given.plans(task)
    tables = []
    for _ in range(2):
        steps = build_engine_stepper(
            task, np.arange(60), Job(2), plans[0], select_engine(task), random_streams("seeded", 3)
        )
        tables.append(runner.run_self_test(steps, task, plans))
    assert tables[0] == tables[1]
