"""The head against a linear probe on the same test examples: when it warns, and when there is nothing to compare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV
from torch import nn

from rft.disclosure.withheld import Withheld
from rft.features import Dense
from rft.plugins import AuditedModel
from rft.plugins.training import head_shortfall
from rft.plugins.training.head_shortfall import state_head_against_probe
from rft.stats.linear_probe import PENALTIES
from rft.training import Job, Recipe
from rft.training.loop import StandardTrainer
from tests.support.membership_cases import audited_model, predict_splits
from tests.support.privacy_cases import private_facts

SHORT = Recipe(epochs=1, optimizer="sgd", learning_rate=0.001, momentum=0.9, weight_decay=0.0, batch_size=32)
LONG = Recipe(100, "adamw", 0.01, 0.0, 0.0, 32, schedule="cosine")


def learnable(recipe: Recipe, *, n: int = 400, **changes: Any) -> AuditedModel:
    """A head that was trained by a recipe on vectors whose first three numbers say their class."""
    audited = audited_model(n, n, recipe=SHORT, **changes)
    rng = np.random.default_rng(1)
    features: dict[str, Any] = {
        name: Dense(torch.from_numpy((rng.normal(size=(n, 100)) + 2 * np.eye(3, 100)[split.labels]).astype(np.float32)))
        for name, split in audited.splits.items()
    }
    task = replace(audited.require_task(), features=features["train"], recipe=recipe)
    fit = StandardTrainer().fit(task, [Job(0)])[0]
    predictions = predict_splits(task, fit, dict(audited.splits), features)
    return replace(audited, features=features, task=task, fit=fit, predictions=predictions)


def probed_by_hand(audited: AuditedModel) -> np.ndarray:
    """Return what ridge regression gets right, all in float64 and in one go."""
    (x, y), (tested, labels) = (
        (
            audited.require_features()[name].batch(np.arange(400))["features"].double().numpy(),
            audited.splits[name].labels,
        )
        for name in ("train", "test")
    )
    scale = x.std() * 10
    right: np.ndarray = RidgeClassifierCV(alphas=PENALTIES).fit(x / scale, y).predict(tested / scale) == labels
    return right


def test_a_head_that_was_trained_too_little_is_told_to_train_longer() -> None:
    audited = learnable(SHORT)
    finding = state_head_against_probe(audited)
    test = audited.predictions[audited.predictions["split"] == "test"]
    head, probe = (test["label"] == test["prediction"]).to_numpy(), probed_by_hand(audited)
    assert finding.value == pytest.approx(head.mean() - probe.mean())
    assert finding.value < -0.2
    assert (finding.status, finding.n) == ("warn", 400)
    assert (
        f"The head reaches {head.mean():.3f}, the probe {probe.mean():.3f}: the head was not trained to the end."
        in (finding.description)
    )
    assert "train.epochs" in (finding.remedy or "")


def test_a_head_that_converged_is_no_reason_to_warn() -> None:
    finding = state_head_against_probe(learnable(LONG))
    assert finding.status == "info"
    assert finding.interval is not None
    assert finding.interval.high >= 0
    assert "not trained to the end" not in finding.description


@pytest.mark.slow
def test_the_probe_sees_a_sample_of_many_examples_and_the_units_of_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_shortfall, "MAX_FITTED_ROWS", 100)
    audited = learnable(LONG, rows_per_unit=4)
    finding = state_head_against_probe(audited)
    assert "fitted to 100 of 400 training examples, drawn at random" in finding.description
    assert finding.interval is not None
    assert "unit" in finding.interval.method


def test_both_learn_with_the_same_class_weights() -> None:
    weights = torch.tensor([1.0, 50.0, 1.0])
    weighted = learnable(LONG)
    weighted = replace(weighted, task=replace(weighted.require_task(), class_weights=weights))
    labels = weighted.require_task().labels.numpy()
    x, tested = (
        weighted.require_features()[name].batch(np.arange(400))["features"].double().numpy()
        for name in ("train", "test")
    )
    probe = RidgeClassifierCV(alphas=PENALTIES).fit(x / (x.std() * 10), labels, sample_weight=weights.numpy()[labels])
    reached = (probe.predict(tested / (x.std() * 10)) == weighted.splits["test"].labels).mean()
    assert f"the probe {reached:.3f}" in state_head_against_probe(weighted).description


def test_what_cannot_be_compared_says_why() -> None:
    audited = learnable(SHORT)
    task, fit = audited.require_task(), audited.require_fit()
    deeper = replace(task, new_suffix=lambda seed: nn.Sequential(nn.Linear(100, 3)))
    cases: dict[str, AuditedModel] = {
        "training is private": replace(audited, fit=replace(fit, privacy=private_facts())),
        "more than a head": replace(audited, task=deeper),
        "trained outside": replace(audited, task=None, fit=None),
        "suppressed": replace(audited, withheld=Withheld(10, splits=frozenset({"test"}))),
        "not finite": replace(
            audited, features={**audited.require_features(), "train": Dense(torch.full((400, 100), torch.nan))}
        ),
        "fewer than two classes": replace(audited, task=replace(task, labels=torch.zeros(400, dtype=torch.int64))),
    }
    for reason, changed in cases.items():
        finding = state_head_against_probe(changed)
        assert (finding.value, finding.status) == (None, "not_measured")
        assert reason in (finding.reason or ""), reason
