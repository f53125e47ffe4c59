"""Subjects whose heads were trained in earnest on made-up vectors, for attacks on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from rft.backbones.classifier import new_head
from rft.features import Dense, Features
from rft.plugins import AuditedModel
from rft.records import ModelFacts, Split, Training
from rft.training import Job, Recipe, Task, Trainer, linear_heads
from rft.training.loop import StandardTrainer

CLASSES = ("a", "b", "c")
DIMENSION = 100
OVERFITTED = Recipe(epochs=30, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.0, batch_size=32)


def split(name: str, n: int, rng: np.random.Generator, *, rows_per_unit: int = 0, groups: bool = True) -> Split:
    """Return a split whose labels are noise, so that whatever a head knows of them it remembers."""
    ids = np.array([f"{name}{row:05}" for row in range(n)])
    units = np.array([f"{name}-u{row // rows_per_unit}" for row in range(n)]) if rows_per_unit else None
    unit_index = np.arange(n) // max(rows_per_unit, 1)
    by_group = {"site": np.array(["x", "y", "x"], dtype=object)[unit_index % 3]} if groups else {}
    return Split(name, ids, list(range(n)), rng.integers(len(CLASSES), size=n), by_group, units)


def vectors(n: int, rng: np.random.Generator, dimension: int = DIMENSION) -> Dense:
    return Dense(torch.from_numpy(rng.normal(size=(n, dimension)).astype(np.float32)))


def predict_splits(task: Task, state: Any, splits: dict[str, Split], features: dict[str, Features]) -> pd.DataFrame:
    frames = []
    for name, part in splits.items():
        (logits,) = linear_heads.compute_logits(task, [state], features[name])
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        columns: dict[str, Any] = {"split": name, "id": part.ids, "unit": part.units}
        columns |= {"label": [CLASSES[label] for label in part.labels]}
        columns |= {"prediction": [CLASSES[index] for index in scores.argmax(axis=1)]}
        columns |= {f"score_{label}": scores[:, index] for index, label in enumerate(CLASSES)}
        columns |= {f"group_{attribute}": values for attribute, values in part.groups.items()}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def audited_model(
    n_train: int = 150,
    n_test: int = 100,
    *,
    trainer: Trainer | None = None,
    recipe: Recipe = OVERFITTED,
    rows_per_unit: int = 0,
    groups: bool = True,
    views: int = 1,
    seed: int = 0,
    **task_changes: Any,
) -> AuditedModel:
    """Return a audited with a linear head that was fitted by its trainer."""
    rng = np.random.default_rng(seed)
    trainer = trainer or StandardTrainer()
    splits = {
        name: split(name, n, rng, rows_per_unit=rows_per_unit, groups=groups)
        for name, n in (("train", n_train), ("test", n_test))
    }
    features: dict[str, Features] = {name: vectors(len(part), rng) for name, part in splits.items()}
    if views > 1:
        features["train"] = Dense(features["train"].tensor.repeat_interleave(views, dim=0), views)  # type: ignore[attr-defined]
    train = splits["train"]
    task = Task(
        features["train"], torch.from_numpy(train.labels), train.units, partial(new_head, DIMENSION, 3, False), recipe
    )
    task = replace(task, **task_changes)
    fit = trainer.fit(task, [Job(seed)])[0]
    mode = fit.mode
    facts = ModelFacts(
        name="made",
        modality="image",
        classes=CLASSES,
        training=Training(mode=mode, unit=fit.privacy.unit if fit.privacy else None),
    )
    return AuditedModel(
        facts,
        seed,
        splits,
        predict_splits(task, fit, splits, features),
        features=features,
        task=task,
        trainer=trainer,
        fit=fit,
    )
