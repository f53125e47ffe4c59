"""What [train] leaves open with epsilon: numbers that follow from the number of units and of features alone."""

from __future__ import annotations

from typing import Any

import pytest

from rft.config.tables.train import TrainConfig
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Recipe, Workload


def choose(units: int, dimension: int | None = 1280, *, rows_per_unit: int = 1, **keys: Any) -> Recipe:
    workload = Workload(units * rows_per_unit, units, dimension)
    return DPTrainer(3.0).choose_recipe(TrainConfig(**keys), workload)


def test_a_head_takes_100_steps_with_half_of_the_units_in_each() -> None:
    recipe = choose(446)
    assert recipe == Recipe(50, "adamw", 0.01, 0.0, 0.0, 223, schedule="constant")
    assert recipe.epochs * 446 / recipe.batch_size == pytest.approx(100)


@pytest.mark.parametrize(
    ("units", "batch_size", "epochs"), [(1, 1, 100), (3, 2, 67), (10_000, 4096, 41), (1_000_000, 4096, 10)]
)
def test_many_units_are_seen_ten_times_in_batches_that_find_room(units: int, batch_size: int, epochs: int) -> None:
    recipe = choose(units)
    assert (recipe.batch_size, recipe.epochs) == (batch_size, epochs)


def test_it_follows_from_units_and_not_from_their_rows() -> None:
    assert choose(446, rows_per_unit=7) == choose(446)


@pytest.mark.parametrize(("dimension", "learning_rate"), [(384, 0.018), (512, 0.016), (1280, 0.01), (2048, 0.008)])
def test_longer_rows_take_a_smaller_learning_rate(dimension: int, learning_rate: float) -> None:
    """Rows are sqrt(D) long, and so is what a step changes of a logit."""
    assert choose(446, dimension).learning_rate == learning_rate


def test_another_batch_size_takes_as_many_steps() -> None:
    assert choose(446, batch_size=446).epochs == 100
    assert choose(1000, batch_size=250).epochs == 25


def test_what_is_given_stands_and_layers_keep_to_theirs() -> None:
    given = {"epochs": 3, "learning_rate": 0.5, "weight_decay": 0.1, "batch_size": 7, "momentum": 0.0}
    assert choose(446, optimizer="sgd", **given) == Recipe(optimizer="sgd", **given)
    assert choose(446, None) == Recipe(20, "sgd", 0.01, 0.9, 0.0, 32)
    assert choose(446, None, optimizer="adamw").learning_rate == 0.001
