"""Sixty-four shadow models and the membership attacks that use them, against training one shadow after another.

    python benchmarks/membership_attack.py [--train 7500] [--test 2500] [--dimension 512] [--classes 10] [--epochs 30]

Prints a table and writes ``membership_attack.json`` beside this file. The heads are linear, on made-up vectors; what
``rft audit`` does is the row ``all attacks``: it trains the shadows together, scores them and estimates intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.attacks import shadows
from rft.plugins.privacy.attacks.membership import DEFAULT_SHADOWS, membership_chapter
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import ModelFacts, Split, Training
from rft.training import Job, Recipe, Task, Trainer, linear_heads
from rft.training.loop import StandardTrainer

BATCH = 256


def main() -> None:
    """Time the attacks on a plain and on a private head, and one shadow alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"train": 7500, "test": 2500, "dimension": 512, "classes": 10, "epochs": 30}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    rows = {
        f"{mode}, {attack}": seconds
        for mode, trainer in (("standard", StandardTrainer()), ("private", DPTrainer(epsilon=3.0)))
        for attack, seconds in _time_attacks(_audited_model(options, trainer)).items()
    }
    for name, times in rows.items():
        print(f"{name:40} {times['wall']:8.2f} s   of the processor {times['processor']:8.2f} s")
    result = {"options": vars(options), "shadows": DEFAULT_SHADOWS, "threads": torch.get_num_threads(), "seconds": rows}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _time_attacks(audited: AuditedModel) -> dict[str, dict[str, float]]:
    alone = _measure_seconds(lambda: _fit_one_shadow(audited))
    return {
        "all attacks": _measure_seconds(lambda: membership_chapter(audited, PrivacyOptions())),
        "of these the shadows": _measure_seconds(lambda: shadows.shadow_confidences(audited, DEFAULT_SHADOWS)),
        "shadows one after another": {name: DEFAULT_SHADOWS * seconds for name, seconds in alone.items()},
    }


def _audited_model(options: argparse.Namespace, trainer: Trainer) -> AuditedModel:
    rng = np.random.default_rng(0)
    classes = tuple(f"c{number}" for number in range(options.classes))
    centres = rng.normal(size=(options.classes, options.dimension)) * 0.15
    splits, features = {}, {}
    for name in ("train", "test"):
        n = getattr(options, name)
        labels = rng.integers(options.classes, size=n)
        groups = {"group": rng.choice(np.array(["a", "b", "c"], dtype=object), n)}
        splits[name] = Split(name, np.array([f"{name}{row}" for row in range(n)]), range(n), labels, groups)
        vectors = (centres[labels] + rng.normal(size=(n, options.dimension))) / np.sqrt(options.dimension)
        features[name] = Dense(torch.from_numpy(vectors.astype(np.float32)))
    recipe = Recipe(options.epochs, "sgd", 0.5, 0.9, 0.0, BATCH)
    new_suffix = partial(new_head, options.dimension, options.classes, False)
    task = Task(features["train"], torch.from_numpy(splits["train"].labels), None, new_suffix, recipe)
    fit = trainer.fit(task, [Job(0)])[0]
    facts = ModelFacts(name="made", modality="image", classes=classes, training=Training(mode=fit.mode))
    empty = AuditedModel(facts, 0, splits, pd.DataFrame(), features=features, task=task, trainer=trainer, fit=fit)
    return replace(empty, predictions=pd.concat([_predict_split(empty, name) for name in splits], ignore_index=True))


def _predict_split(audited: AuditedModel, name: str) -> pd.DataFrame:
    part, classes = audited.splits[name], audited.facts.classes
    (logits,) = linear_heads.compute_logits(
        audited.require_task(), [audited.require_fit()], audited.require_features()[name]
    )
    scores = torch.from_numpy(logits).softmax(dim=1).numpy()
    labels = [classes[label] for label in part.labels]
    frame = pd.DataFrame({"split": name, "id": part.ids, "unit": None, "label": labels, "prediction": labels})
    columns = {f"score_{label}": scores[:, index] for index, label in enumerate(classes)}
    return frame.assign(**columns, group_group=part.groups["group"])


def _fit_one_shadow(audited: AuditedModel) -> None:
    pool = shadows.pool_examples(audited)
    shadows.shadow_trainer(audited).fit(pool.task, [Job(1, pool.members)])


def _measure_seconds(work: Callable[[], object]) -> dict[str, float]:
    """Return the time on the wall, and that of the processor, which other programs disturb less."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


if __name__ == "__main__":
    main()
