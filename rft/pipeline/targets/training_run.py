"""The training of a fine-tuned target: the task that the config describes, the fit, and what the record says of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rft.config.schema import Config
from rft.data import Dataset
from rft.errors import ConfigError, near
from rft.features import Features
from rft.features.batch_independence import BatchDependence
from rft.pipeline.targets.partitioned import PartitionedBackbone
from rft.records import Split, TaskName, Training
from rft.training import EarlyStopping, Fit, Job, Population, Task, Trainer, Workload
from rft.training.objectives import CROSS_ENTROPY, CTC, Objective
from rft.training.privacy_facts import PrivacyFacts
from rft.training.sharing import ALONE, TrainingShare

log = logging.getLogger("rft")
OBJECTIVES: Mapping[TaskName, Objective] = {"classification": CROSS_ENTROPY, "recognition": CTC}


def build_task(
    trainer: Trainer,
    partition: PartitionedBackbone,
    dataset: Dataset,
    features: Mapping[str, Features],
    batch_dependence: BatchDependence | None,
) -> Task:
    """Return what is trained on the features of the training split, and how.

    Args:
        trainer: chooses what ``[train]`` leaves open.
        partition: the backbone, cut.
        dataset: its ``train`` split is what is trained on.
        features: of every split, one row an example (and view).
        batch_dependence: what batch_dependence did to the features; None where nobody measured it.
    """
    core, train = partition.settings.core, dataset.splits["train"]
    population = _find_population(partition, train)
    units = len(train) if train.units is None else len(np.unique(train.units.astype(str)))
    head_dimension = partition.backbone.dimension if partition.cut.freeze == "all" else None
    workload = Workload(len(train), units, head_dimension)
    in_bfloat16 = partition.precision == "bfloat16" and partition.cut.freeze != "all"
    return Task(
        features["train"],
        torch.from_numpy(train.labels),
        train.units,
        partition.cut.new_suffix,
        trainer.choose_recipe(core.train, workload),
        partition.device,
        precision="bfloat16" if in_bfloat16 else "float32",
        class_weights=build_class_weights(core, dataset.classes),
        population=population,
        batch_dependence=batch_dependence,
        network="" if population is None else partition.hash_origin(),
        early_stopping=find_early_stopping(core, dataset, features),
        tokens=partition.max_tokens,
        objective=OBJECTIVES[core.task],
    )


def find_early_stopping(core: Config, dataset: Dataset, features: Mapping[str, Features]) -> EarlyStopping | None:
    """Return what training is stopped by; raises ``ConfigError`` where no example is in validation."""
    if core.train.patience is None:
        return None
    if "validation" not in dataset.splits:
        raise ConfigError(
            "needs validation examples to stop by, and there are none",
            where="train.patience",
            remedy="Put some training examples, or units, into the split validation, or remove the key.",
        )
    labels = torch.from_numpy(dataset.splits["validation"].labels)
    return EarlyStopping(features["validation"], labels, core.train.patience)


def build_class_weights(core: Config, classes: Sequence[str]) -> torch.Tensor | None:
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


def _find_population(partition: PartitionedBackbone, train: Split) -> Population | None:
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


def run_training(trainer: Trainer, task: Task, seed: int, *, cached: bool, share: TrainingShare = ALONE) -> TrainingRun:
    """Train one suffix.

    Args:
        trainer: trains it; it is prepared first, which is not in the time.
        task: what is fitted.
        seed: of the fit.
        cached: whether the features of the task are kept, so that no step runs the whole network.
        share: this process's part of it.
    """
    trainer.prepare(task)
    if not cached:
        log.warning('nothing is cached (model.freeze = "none"): every step runs the whole network')
    start = time.monotonic()
    fit = trainer.fit(task, [Job(seed, share=share)])[0]
    if fit.kept_epoch is not None:  # what trains again, as shadow models do, is stopped where this was
        recipe = replace(task.recipe, stop_after=fit.kept_epoch)
        task = replace(task, recipe=recipe, early_stopping=None)
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
    recipe_used = fit.privacy is None or fit.privacy.engine.recipe_used
    training = Training(
        mode=fit.mode,
        cached=cached,
        class_weights=weights,
        epochs=recipe.taken_epochs if recipe_used else None,
        planned_epochs=None if fit.kept_epoch is None else recipe.epochs,
        optimizer=recipe.optimizer if recipe_used else None,
        learning_rate=recipe.learning_rate if recipe_used else None,
        schedule=recipe.schedule if recipe_used else None,
        momentum=recipe.momentum if recipe_used and recipe.optimizer == "sgd" else None,
        weight_decay=recipe.weight_decay if recipe_used else None,
        batch_size=recipe.batch_size if recipe_used else None,
    )
    if fit.privacy is None:
        return training
    return _add_guarantee(training, fit.privacy, unit=core.data.unit, frozen_changed=frozen_changed)


def _add_guarantee(training: Training, privacy: PrivacyFacts, *, unit: str | None, frozen_changed: bool) -> Training:
    """Return a private training with its numbers; a void guarantee has no epsilon and no delta."""
    void = "the frozen part of the model changed during the run, without noise" if frozen_changed else privacy.void
    return Training(
        **training.model_dump(exclude_unset=True),
        randomness=privacy.randomness,
        epsilon=None if void else privacy.epsilon,
        delta=None if void else privacy.delta,
        noise_multiplier=privacy.noise_multiplier,
        sample_rate=privacy.sample_rate,
        steps=privacy.steps,
        max_grad_norm=privacy.max_grad_norm,
        unit=unit if privacy.unit == "unit" else privacy.unit,  # by its column, which a task does not know
        void=void,
    )
