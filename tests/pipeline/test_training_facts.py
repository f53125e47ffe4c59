"""What the record says of a training: the recipe where it had a part, and a guarantee where there is one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rft.errors import ConfigError
from rft.pipeline.targets.training_run import TrainingRun, describe_training, find_early_stopping
from rft.training import Fit, Recipe
from tests.support.privacy_cases import private_facts

RECIPE = Recipe(epochs=3, optimizer="adamw", learning_rate=0.1, momentum=0.0, weight_decay=0.0, batch_size=16)
OF_RECIPE = {
    **{"epochs": 3, "optimizer": "adamw", "learning_rate": 0.1, "batch_size": 16},
    **{"schedule": "constant", "weight_decay": 0.0},
}
OF_RUN = {"cached": True, "class_weights": {"yes": 2.0}}
GUARANTEE = {
    "mode": "private",
    "epsilon": 2.998,
    "delta": 1e-5,
    "noise_multiplier": 1.79,
    "sample_rate": 0.064,
    "steps": 312,
    "max_grad_norm": 1.0,
    "randomness": "secret",
}


def describe_facts(
    privacy: Any, *, recipe: Recipe = RECIPE, kept_epoch: int | None = None, frozen_changed: bool = False
) -> dict[str, object]:
    core: Any = SimpleNamespace(train=SimpleNamespace(class_weights={"yes": 2.0}), data=SimpleNamespace(unit="face_id"))
    task: Any = SimpleNamespace(recipe=recipe)
    run = TrainingRun(task, None, Fit({}, privacy=privacy, kept_epoch=kept_epoch), 1.2345)
    training = describe_training(core, run, cached=True, frozen_changed=frozen_changed)
    return training.model_dump(exclude_none=True)


def test_a_standard_training_says_its_recipe() -> None:
    assert describe_facts(None, frozen_changed=True) == {"mode": "standard", **OF_RUN, **OF_RECIPE}


def test_a_training_that_validation_stopped_says_both_numbers_of_epochs() -> None:
    stopped = describe_facts(None, recipe=replace(RECIPE, stop_after=2), kept_epoch=2)
    assert (stopped["epochs"], stopped["planned_epochs"]) == (2, 3)


def test_sgd_says_its_momentum() -> None:
    assert describe_facts(None, recipe=replace(RECIPE, optimizer="sgd", momentum=0.8))["momentum"] == 0.8


def test_training_is_stopped_by_the_split_validation_or_refused() -> None:
    core: Any = SimpleNamespace(train=SimpleNamespace(patience=4))
    features: Any = {"train": None, "validation": "of validation"}
    split = SimpleNamespace(labels=np.array([0, 1]))
    with_validation: Any = SimpleNamespace(splits={"validation": split})
    without: Any = SimpleNamespace(splits={"train": split})
    found = find_early_stopping(core, with_validation, features)
    assert found is not None
    assert (found.features, found.labels.tolist(), found.patience) == ("of validation", [0, 1], 4)
    with pytest.raises(
        ConfigError, match=r"train\.patience: needs validation examples .*\n.* into the split validation"
    ):
        find_early_stopping(core, without, features)


@pytest.mark.parametrize(("unit", "named"), [("example", "example"), ("unit", "face_id")])
def test_a_private_training_says_its_guarantee(unit: str, named: str) -> None:
    expected = {**GUARANTEE, **OF_RUN, **OF_RECIPE, "unit": named}
    assert describe_facts(private_facts(unit=unit)) == expected


def test_a_recipe_that_had_no_part_is_not_said() -> None:
    facts = private_facts()
    unused = replace(facts, engine=replace(facts.engine, recipe_used=False))
    assert describe_facts(unused) == {**GUARANTEE, **OF_RUN, "unit": "example"}


@pytest.mark.parametrize("said", [None, "its noise was drawn from a seed"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_void_guarantee_has_no_epsilon(said: str | None, changed: bool) -> None:
    facts = describe_facts(private_facts(void=said), frozen_changed=changed)
    reason = "the frozen part of the model changed during the run, without noise" if changed else said
    assert facts.get("void") == reason
    assert ("epsilon" in facts, "delta" in facts) == (reason is None,) * 2
