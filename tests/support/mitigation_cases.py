"""A linear head on made-up features, in which the group is planted where the label should be learnt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from rft.backbones.classifier import Classifier, hash_tensors, new_head
from rft.data import Dataset
from rft.features import Dense
from rft.pipeline.targets.prediction_table import tabulate_predictions
from rft.plugins import AuditedModel
from rft.records import ModelFacts, Split, Training
from rft.training import Job, Recipe, Task
from rft.training.linear_heads import compute_logits
from rft.training.loop import StandardTrainer

CLASSES = ("no", "yes")
RECIPE = Recipe(epochs=10, optimizer="adamw", learning_rate=0.05, momentum=0.9, weight_decay=0.0, batch_size=64)


def draw_rows(
    n: int, rng: np.random.Generator, *, agree: float = 0.9, dimension: int = 6, classes: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (N, D) features, labels and groups.

    The group agrees with the label in a share of the rows, and its feature is far less noisy than that of the label:
    a head that is trained on all rows leans on it and fails where group and label differ.
    """
    labels = rng.integers(0, classes, n)
    groups = np.where(rng.random(n) < agree, labels, rng.integers(0, classes, n))
    features = rng.normal(0, 1, (n, dimension))
    features[:, 0] += 2.0 * (labels - (classes - 1) / 2)
    features[:, 1] = features[:, 1] / 3 + 2.0 * (groups - (classes - 1) / 2)
    return features.astype(np.float32), labels.astype(np.int64), np.array(["north", "south", "west"])[groups]


def draw_split(name: str, n: int, seed: int, *, rows_per_unit: int = 1, **shape) -> tuple[Split, np.ndarray]:
    """Return a split of which each unit has so many rows, and its features."""
    features, labels, groups = draw_rows(n, np.random.default_rng([seed, n, len(name)]), **shape)
    ids = np.array([f"{name}-{row}" for row in range(n)], dtype=object)
    units = (
        None if rows_per_unit == 1 else np.array([f"{name}-{row // rows_per_unit}" for row in range(n)], dtype=object)
    )
    return Split(name, ids, list(ids), labels, {"region": groups.astype(object)}, units), features


def audited_model(
    sizes: Mapping[str, int], *, seed: int = 0, row_norm: bool = False, mode: str = "standard", **shape
) -> AuditedModel:
    """Return an audited model whose head was trained on the rows of ``train``; ``sizes`` are those of the splits."""
    parts = {name: draw_split(name, n, seed, **shape) for name, n in sizes.items()}
    names = ("no", "yes", "maybe")[: shape.get("classes", 2)]
    dataset = Dataset({name: part for name, (part, _) in parts.items()}, names, 0, [])
    features = {name: Dense(torch.from_numpy(rows)) for name, (_, rows) in parts.items()}
    dimension, train = parts["train"][1].shape[1], parts["train"][0]

    def new_suffix(seed: int) -> torch.nn.Module:
        return new_head(dimension, len(names), row_norm, seed)

    task = Task(features["train"], torch.from_numpy(train.labels), train.units, new_suffix, RECIPE)
    fit = StandardTrainer().fit(task, [Job(seed)])[0]
    scores = {
        name: torch.from_numpy(next(compute_logits(task, [fit], columns))).softmax(1).numpy()
        for name, columns in features.items()
    }
    head = new_suffix(0)
    head.load_state_dict(fit.state)
    model = Classifier(torch.nn.Identity(), head, modality="image")
    return AuditedModel(
        facts=ModelFacts(
            name="planted",
            modality="image",
            classes=names,
            positive="yes",
            model_sha256=hash_tensors(model.state_dict()),
            training=Training(mode=mode),
        ),
        seed=seed,
        splits=dataset.splits,
        predictions=tabulate_predictions(dataset, scores.__getitem__),
        model=model,
        features=features,
        task=task,
        trainer=StandardTrainer(),
        plain_trainer=StandardTrainer(),
        fit=fit,
    )
