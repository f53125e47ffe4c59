"""A run whose groups differ in how hard they are, for the frontier: features, splits and a private trainer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.plugins import AuditedModel
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import ModelFacts, Split, Training
from rft.training import Recipe, Task
from rft.training.loop import StandardTrainer

RECIPE = Recipe(epochs=4, optimizer="sgd", learning_rate=0.5, momentum=0.0, weight_decay=0.0, batch_size=64)
CLASSES = ("no", "yes")


def draw_examples(n: int, dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and groups: one in five is of group b, whose classes lie closer together."""
    rng = np.random.default_rng(seed)
    labels, small = rng.integers(0, 2, n), rng.random(n) < 0.2
    features = rng.normal(size=(n, dimension)) / dimension**0.5
    features[:, 0] += (2 * labels - 1) * np.where(small, 0.1, 0.6)
    features[:, 1] += 0.5 * small
    return features.astype(np.float32), labels, np.where(small, "b", "a").astype(object)


def make_split(name: str, labels: np.ndarray, groups: np.ndarray, **changes: Any) -> Split:
    ids = np.array([f"{name}{row}" for row in range(len(labels))])
    return Split(name, ids, [None] * len(labels), labels, {"site": groups}, **changes)


def audited_model(
    trainer: DPTrainer, n: int = 800, n_test: int = 300, *, dimension: int = 20, **changes: Any
) -> AuditedModel:
    features, labels, groups = draw_examples(n, dimension, 0)
    test_features, test_labels, test_groups = draw_examples(n_test, dimension, 1)
    dense = {"train": Dense(torch.from_numpy(features)), "test": Dense(torch.from_numpy(test_features))}
    fields: dict[str, Any] = {
        "splits": {"train": make_split("train", labels, groups), "test": make_split("test", test_labels, test_groups)},
        "predictions": pd.DataFrame(),
        "features": dense,
        "trainer": trainer,
        "plain_trainer": StandardTrainer(),
        "task": Task(dense["train"], torch.from_numpy(labels), None, partial(new_head, dimension, 2, False), RECIPE),
    }
    facts = ModelFacts(
        name="made", modality="image", classes=CLASSES, positive="yes", training=Training(mode="private")
    )
    return AuditedModel(facts, 0, **(fields | changes))
