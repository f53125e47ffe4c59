"""What [train] leaves open: the numbers that follow, and that what is given stands."""

from __future__ import annotations

from typing import Any

import pytest

from rft.config.schema import Config, ModelConfig
from rft.config.tables.train import TrainConfig
from rft.training import Recipe, Workload
from rft.training.loop import StandardTrainer


def choose(examples: int, *, is_head: bool = True, **keys: Any) -> Recipe:
    return StandardTrainer().choose_recipe(TrainConfig(**keys), Workload(examples, examples, 512 if is_head else None))


def test_a_head_is_trained_by_adamw_until_the_learning_rate_is_0() -> None:
    assert choose(446) == Recipe(
        epochs=108,
        optimizer="adamw",
        learning_rate=0.003,
        momentum=0.0,
        weight_decay=0.3,
        batch_size=32,
        schedule="cosine",
    )


@pytest.mark.parametrize(
    ("examples", "epochs"), [(1, 500), (94, 500), (446, 108), (4000, 12), (4800, 10), (1_000_000, 10)]
)
def test_a_head_takes_1500_steps_or_ten_epochs_and_no_more_than_500(examples: int, epochs: int) -> None:
    """4,800 examples in batches of 32 are 150 steps an epoch."""
    assert choose(examples).epochs == epochs


def test_batches_of_another_size_take_as_many_steps() -> None:
    assert choose(446, batch_size=64).epochs == 215  # of 7 steps
    assert choose(446, batch_size=64).count_steps(446) == 1505


def test_sgd_is_the_loop_of_textbooks() -> None:
    expected = {"epochs": 25, "learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0, "batch_size": 4}
    assert choose(446, optimizer="sgd") == Recipe(optimizer="sgd", schedule="constant", **expected)


@pytest.mark.parametrize(("optimizer", "learning_rate", "momentum"), [(None, 0.01, 0.9), ("adamw", 0.001, 0.0)])
def test_layers_are_trained_for_twenty_epochs(optimizer: str | None, learning_rate: float, momentum: float) -> None:
    recipe = choose(446, is_head=False, optimizer=optimizer)
    assert recipe == Recipe(20, optimizer or "sgd", learning_rate, momentum, 0.0, 32, schedule="constant")


@pytest.mark.parametrize("is_head", [True, False])
def test_what_is_given_stands(is_head: bool) -> None:
    keys = {"epochs": 3, "learning_rate": 0.5, "weight_decay": 0.1, "batch_size": 7}
    given = keys | {"optimizer": "sgd", "momentum": 0.0, "schedule": "cosine"}
    assert choose(446, is_head=is_head, **given) == Recipe(**given)
    assert choose(446, is_head=is_head, weight_decay=0.0).weight_decay == 0.0


@pytest.mark.parametrize(
    ("model", "train", "row_norm"),
    [
        ({}, {}, True),
        ({}, {"optimizer": "adamw"}, True),
        ({}, {"optimizer": "sgd"}, False),
        ({"row_norm": True}, {"optimizer": "sgd"}, True),
        ({"row_norm": False}, {}, False),
        ({"freeze": "layer4"}, {}, False),
        ({"tune": "lora"}, {}, False),
    ],
)
def test_rows_are_scaled_for_a_head_alone_and_not_in_the_loop_of_textbooks(
    model: dict[str, Any], train: dict[str, Any], row_norm: bool
) -> None:
    network = ModelConfig(backbone="torchvision/resnet18", **model)
    data: Any = {"folder": "photos"}
    assert Config(name="a", data=data, model=network, train=TrainConfig(**train)).row_norm is row_norm
