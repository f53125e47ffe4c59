"""Training that validation examples stop: which epoch is kept, and that what trains again stops there too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.training import EarlyStopping, Job, Recipe, Task
from rft.training.loop import StandardTrainer

RECIPE = Recipe(epochs=40, optimizer="adamw", learning_rate=0.1, momentum=0.0, weight_decay=0.0, batch_size=8)


def noise_task(*, patience: int | None, class_weights: torch.Tensor | None = None) -> Task:
    """Labels that are noise: what is learnt of them by heart makes the validation loss worse."""
    random = torch.Generator().manual_seed(0)
    features, held_out = torch.randn(40, 30, generator=random), torch.randn(60, 30, generator=random)
    labels, held_out_labels = (torch.randint(0, 2, (n,), generator=random) for n in (40, 60))
    task = Task(Dense(features), labels, None, lambda seed: new_head(30, 2, False, seed), RECIPE)
    stopping = None if patience is None else EarlyStopping(Dense(held_out), held_out_labels, patience)
    return replace(task, early_stopping=stopping, class_weights=class_weights)


@pytest.mark.parametrize("patience", [1, 3])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 3.0])])
def test_the_epoch_with_the_lowest_loss_on_validation_is_kept(
    patience: int, class_weights: torch.Tensor | None
) -> None:
    task = noise_task(patience=patience, class_weights=class_weights)
    (fit,) = StandardTrainer().fit(task, [Job(0)])
    losses = [row["validation_loss"] for row in fit.log]
    assert fit.kept_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == min(fit.kept_epoch + patience, 40)
    assert len(losses) < 40
    assert task.early_stopping is not None
    by = task.early_stopping
    scores = (
        task.early_stopping.features.batch(np.arange(60))["features"].double() @ fit.state["linear.weight"].T.double()
    )
    log_shares = (scores + fit.state["linear.bias"]).log_softmax(1)
    weights = torch.ones(2) if class_weights is None else class_weights
    by_hand = -(weights[by.labels] * log_shares[range(60), by.labels]).mean()
    assert min(losses) == pytest.approx(float(by_hand), rel=1e-5)


def test_what_trains_again_takes_the_epochs_that_were_kept() -> None:
    (stopped,) = StandardTrainer().fit(noise_task(patience=2), [Job(0)])
    recipe = replace(RECIPE, stop_after=stopped.kept_epoch)
    (again,) = StandardTrainer().fit(replace(noise_task(patience=None), recipe=recipe), [Job(0)])
    assert all(torch.equal(stopped.state[name], again.state[name]) for name in stopped.state)
    assert (again.kept_epoch, len(again.log)) == (None, stopped.kept_epoch)


def test_without_validation_all_epochs_are_taken() -> None:
    (fit,) = StandardTrainer().fit(noise_task(patience=None), [Job(0)])
    assert (fit.kept_epoch, len(fit.log)) == (None, 40)
    assert "validation_loss" not in fit.log[0]
