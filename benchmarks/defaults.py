"""What default training reaches: a head beside a tuned logistic regression, and a private head beside a public grid.

    python benchmarks/defaults.py --cache FOLDER [--faces FOLDER] [--fashion FOLDER] [--fonts FOLDER] [--seeds 5]

Prints two tables and writes ``defaults.json`` beside this file. Each seed draws another split, by unit where there are
units, and other initial weights. The sets are those of ``labelled_sets.py``: features are extracted once into
``--cache``. ``--private`` and ``--plain`` run one half alone.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labelled_sets import LabelledSet, load_labelled_sets
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from rft.backbones.classifier import new_head
from rft.config.tables.train import TrainConfig
from rft.features import Dense
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Job, Task, Trainer, Workload
from rft.training.linear_heads import compute_logits
from rft.training.loop import StandardTrainer

PENALTIES = np.logspace(-2, 5, 8)  # values of C, of features whose rows have length 1 on average
MAX_TEST = 6000  # examples
MIN_TEST, MORE_DRAWS = 500, 5  # with fewer test examples, so many times as many splits are drawn
EPSILON = 3.0
SAMPLE_RATES, STEPS, LEARNING_RATES, CLIPPING_NORMS = (0.25, 1.0), (30, 100), (0.03, 0.1, 0.3), (1.0, 10.0)


@dataclass(frozen=True)
class Split:
    """One split of a set: features (N, D) and labels (N,) of both sides, and the units of the training side."""

    train: np.ndarray
    labels: np.ndarray
    units: np.ndarray | None
    test: np.ndarray
    test_labels: np.ndarray
    classes: int


def main() -> None:
    """Measure what was asked for, print it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for images and features, made once")
    for name in ("faces", "fashion", "fonts"):
        parser.add_argument(f"--{name}", type=Path, help="folder of this set, see labelled_sets.py")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plain", action="store_true", help="without the private half")
    parser.add_argument("--private", action="store_true", help="the private half alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plain, private = {}, {}
    folders = {name: getattr(options, name) for name in ("faces", "fashion", "fonts")}
    for labelled in load_labelled_sets(options.cache, folders):
        if isinstance(labelled, str):
            print(labelled)
            continue
        if not options.private:
            plain[labelled.name] = _measure_plain(labelled, options.seeds)
        if not options.plain and labelled.private_train is not None:
            private[labelled.name] = _measure_private(labelled, labelled.private_train, options.seeds)
    result = {"seeds": options.seeds, "plain": plain, "private": private}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _measure_plain(labelled: LabelledSet, seeds: int) -> dict[str, Any]:
    """Return accuracy and balanced accuracy, means over seeds, of each way to train a head, with seconds of a fit."""
    ways: dict[str, Callable[[Split, int], np.ndarray]] = {
        "logistic regression": _predict_by_regression,
        "default": partial(_predict_by_head, TrainConfig(), row_norm=True),
        "textbook": partial(_predict_by_head, TrainConfig(optimizer="sgd"), row_norm=False),
    }
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    draws = seeds if len(labelled.labels) - labelled.train >= MIN_TEST else MORE_DRAWS * seeds
    for seed in range(draws):
        split = _draw_split(labelled, labelled.train, seed)
        for name, predict in ways.items():
            start = time.process_time()
            scores[name].append(_score_predictions(split, predict(split, seed)))
            seconds[name].append(time.process_time() - start)
    row = (
        _describe_set(labelled, labelled.train)
        | {"splits": draws}
        | {name: {**_mean_scores(scores[name]), "processor seconds": float(np.median(seconds[name]))} for name in ways}
    )
    print(f"{labelled.name:12} {row['n']:6} examples, {row['classes']:3} classes")
    for name in ways:
        print(f"  {name:22} {row[name]['accuracy']:.3f}  balanced {row[name]['balanced accuracy']:.3f}", flush=True)
    return row


def _measure_private(labelled: LabelledSet, n: int, seeds: int) -> dict[str, Any]:
    """Return accuracy and balanced accuracy of the default at epsilon 3, and of each setting of the grid."""
    asked = {"default": (TrainConfig(), DPTrainer(EPSILON)), **dict(_list_grid(n))}
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for seed in range(seeds):
        split = _draw_split(labelled, n, seed)
        for name, (train, trainer) in asked.items():
            scores[name].append(
                _score_predictions(split, _predict_by_head(train, split, seed, row_norm=True, trainer=trainer))
            )
    means = {name: _mean_scores(values) for name, values in scores.items()}
    best = max((name for name in means if name != "default"), key=lambda name: means[name]["accuracy"])
    print(f"{labelled.name:12} {n:6} examples at epsilon {EPSILON:g}")
    for name in ("default", best):
        print(f"  {name:50} {means[name]['accuracy']:.3f}  balanced {means[name]['balanced accuracy']:.3f}", flush=True)
    return _describe_set(labelled, n) | {"best of the grid": best, "scores": means}


def _list_grid(n: int) -> Iterator[tuple[str, tuple[TrainConfig, DPTrainer]]]:
    """Yield the public grid by name: SGD with momentum, whose steps are learning rate / norm times a clipped mean."""
    for rate, steps, learning_rate, norm in product(SAMPLE_RATES, STEPS, LEARNING_RATES, CLIPPING_NORMS):
        name = f"rate {rate:g}, {steps} steps, learning rate {learning_rate / norm:g}, norm {norm:g}"
        train = TrainConfig(
            optimizer="sgd", learning_rate=learning_rate / norm, momentum=0.9, batch_size=max(1, round(rate * n))
        )
        yield name, (train, DPTrainer(EPSILON, max_grad_norm=norm, sample_rate=rate, steps=steps))


def _draw_split(labelled: LabelledSet, n: int, seed: int) -> Split:
    """Return n training examples, or units with about as many, and up to ``MAX_TEST`` others."""
    rng, units = np.random.default_rng(seed), labelled.units
    owners = np.arange(len(labelled.labels)) if units is None else np.unique(units, return_inverse=True)[1]
    order = rng.permutation(int(owners.max()) + 1)
    drawn = np.cumsum(np.bincount(owners)[order])
    is_train = np.isin(owners, order[: int(np.searchsorted(drawn, n)) + 1])
    test = rng.permutation(np.flatnonzero(~is_train))[:MAX_TEST]
    return Split(
        labelled.features[is_train],
        labelled.labels[is_train],
        None if units is None else units[is_train],
        labelled.features[test],
        labelled.labels[test],
        int(labelled.labels.max()) + 1,
    )


def _predict_by_regression(split: Split, seed: int) -> np.ndarray:
    """Return the predictions of a logistic regression; C, and whether columns are standardised, by cross-validation."""
    kind = StratifiedKFold if split.units is None else StratifiedGroupKFold
    folds = list(kind(3, shuffle=True, random_state=seed).split(split.train, split.labels, split.units))
    fitted = []
    for standardised in (False, True):
        scaler = StandardScaler(with_mean=standardised, with_std=standardised)
        scale = (split.train.std() if not standardised else 1.0) * split.train.shape[1] ** 0.5
        train, test = scaler.fit_transform(split.train) / scale, scaler.transform(split.test) / scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of its attributes, which will be others
            model = LogisticRegressionCV(Cs=PENALTIES, cv=folds, max_iter=300, tol=1e-3).fit(train, split.labels)
        fitted.append((float(next(iter(model.scores_.values())).mean(axis=0).max()), model.predict(test)))
    return max(fitted, key=lambda pair: pair[0])[1]


def _predict_by_head(
    asked: TrainConfig, split: Split, seed: int, *, row_norm: bool, trainer: Trainer | None = None
) -> np.ndarray:
    """Return the predictions of a head that rft trains as it was asked to."""
    trainer, n = trainer or StandardTrainer(), len(split.labels)
    units = n if split.units is None else len(np.unique(split.units))
    recipe = trainer.choose_recipe(asked, Workload(n, units, split.train.shape[1]))
    new_suffix = partial(new_head, split.train.shape[1], split.classes, row_norm)
    task = Task(Dense(torch.from_numpy(split.train)), torch.from_numpy(split.labels), None, new_suffix, recipe)
    (fit,) = trainer.fit(task, [Job(seed)])
    (logits,) = compute_logits(task, [fit], Dense(torch.from_numpy(split.test)))
    return logits.argmax(axis=1)


def _score_predictions(split: Split, predictions: np.ndarray) -> tuple[float, float]:
    return (
        float(accuracy_score(split.test_labels, predictions)),
        float(balanced_accuracy_score(split.test_labels, predictions)),
    )


def _mean_scores(scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    accuracy, balanced = np.mean(scores, axis=0)
    return {"accuracy": round(float(accuracy), 4), "balanced accuracy": round(float(balanced), 4)}


def _describe_set(labelled: LabelledSet, n: int) -> dict[str, Any]:
    counts = np.bincount(labelled.labels)
    return {"n": n, "classes": len(counts), "share of the largest class": round(float(counts.max() / counts.sum()), 3)}


if __name__ == "__main__":
    main()
