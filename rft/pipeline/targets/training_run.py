"""The training of a fine-tuned target: the task that the config describes, the fit, and what the record says of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rft.config.schema import Config
from rft.data import Dataset
from rft.errors import ConfigError, near
from rft.features import Features
from rft.features.batch_independence import BatchDependence
from rft.pipeline.targets.partitioned import PartitionedBackbone
from rft.records import Split, Training
from rft.training import Fit, Job, Population, Recipe, Task, Trainer

log = logging.getLogger("rft")


def build_task(
    partition: PartitionedBackbone, dataset: Dataset, features: Features, batch_dependence: BatchDependence | None
) -> Task:
    """Return what is trained on the features of the training split, and how.

    Args:
        partition: the backbone, cut.
        dataset: its ``train`` split is what is trained on.
        features: of that split, one row an example (and view).
        batch_dependence: what batch_dependence did to the features; None where nobody measured it.
    """
    core, train = partition.settings.core, dataset.splits["train"]
    population = _population(partition, train)
    in_bfloat16 = partition.precision == "bfloat16" and partition.cut.freeze != "all"
    return Task(
        features,
        torch.from_numpy(train.labels),
        train.units,
        partition.cut.new_suffix,
        Recipe(**core.train.model_dump(exclude={"views", "class_weights"})),
        partition.device,
        precision="bfloat16" if in_bfloat16 else "float32",
        class_weights=_class_weights(core, dataset.classes),
        population=population,
        batch_dependence=batch_dependence,
        network="" if population is None else partition.hash_origin(),
    )


def _class_weights(core: Config, classes: Sequence[str]) -> torch.Tensor | None:
    """Return (K,) factors, 1 where the config names none; raises ``ConfigError`` for a class that does not exist."""
    factors = core.train.class_weights
    if factors is None:
        return None
    for name in factors:
        if name not in classes:
            raise ConfigError(
                f"{name!r} is no class; the classes are {', '.join(classes)}",
                where="train.class_weights",
                remedy=near(name, list(classes)),
            )
    return torch.tensor([factors.get(name, 1.0) for name in classes])


def _population(partition: PartitionedBackbone, train: Split) -> Population | None:
    """Return the people whom the training examples are about; None where the config does not name them."""
    name = partition.settings.core.data.population
    if name is None:
        return None
    unit_ids = train.ids if train.units is None else train.units
    return Population(name, unit_ids, partition.settings.folder)


@dataclass(frozen=True)
class TrainingRun:
    """What was trained, by what, what came out, and the seconds that it took."""

    task: Task
    trainer: Trainer
    fit: Fit
    seconds: float


def run_training(trainer: Trainer, task: Task, seed: int, *, cached: bool) -> TrainingRun:
    """Train one suffix.

    Args:
        trainer: trains it; it is prepared first, which is not in the time.
        task: what is fitted.
        seed: of the fit.
        cached: whether the features of the task are kept, so that no step runs the whole network.
    """
    trainer.prepare(task)
    if not cached:
        log.warning('nothing is cached (model.freeze = "none"): every step runs the whole network')
    start = time.monotonic()
    fit = trainer.fit(task, [Job(seed)])[0]
    return TrainingRun(task, trainer, fit, time.monotonic() - start)


def describe_training(core: Config, run: TrainingRun, *, cached: bool, frozen_changed: bool) -> Training:
    """Return what the report says of the training.

    Args:
        core: the config.
        run: what was trained, and the result.
        cached: whether it ran on features that are kept.
        frozen_changed: whether the frozen part changed meanwhile, which voids a guarantee.
    """
    fit, recipe, weights = run.fit, run.task.recipe, core.train.class_weights
    values: dict[str, Any] = {"seconds": round(run.seconds, 2), "cached": cached, "class_weights": weights}
    if fit.privacy is None or fit.privacy.engine.recipe_used:
        values |= {"epochs": recipe.epochs, "optimizer": recipe.optimizer}
        values |= {"learning_rate": recipe.learning_rate, "batch_size": recipe.batch_size}
    values |= _describe_guarantee(fit, unit=core.data.unit, frozen_changed=frozen_changed)
    return Training(mode=fit.mode, **values)


def _describe_guarantee(fit: Fit, *, unit: str | None, frozen_changed: bool) -> dict[str, Any]:
    """Return the fields of ``Training`` that private training sets; a void guarantee has no epsilon and no delta."""
    if fit.privacy is None:
        return {}
    fields = {name: number for name, number in vars(fit.privacy).items() if name in Training.model_fields}
    if frozen_changed:
        fields["void"] = "the frozen part of the model changed during the run, without noise"
    if fields.get("void"):
        fields |= {"epsilon": None, "delta": None}
    if fields.get("unit") == "unit":
        fields["unit"] = unit  # by the name of its column, which a task does not know
    return fields
