"""Shadow models: the run's own training again, on random subsets of the people of train and test together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rft.features.columns import join_features
from rft.plugins import AuditedModel
from rft.plugins.privacy.attacks import shadow_heads
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import LOSS
from rft.training import Fit, Job, Task, Trainer, linear_heads

SUBSET_STREAM = 0x5AD0  # sets the draws of subsets apart from other uses of the run's seed
MIN_SHADOWS_PER_SIDE = 4  # shadows with, and without, each example


@dataclass(frozen=True)
class Pool:
    """The examples of train and test as one task.

    Attributes:
        task: train first, then test.
        ids: (N,) of the examples.
        owners: (N,) numbers from 0 on, whose each example is.
        members: (N,) bool, whether the audited model was trained on an example.
        trainable: (N,) bool, whether a model can be trained on it: on no transcript that cannot be written.
    """

    task: Task
    ids: np.ndarray
    unit_index: np.ndarray
    members: np.ndarray
    trainable: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """(N,) bool, which examples are attacked: those that can be trained on, of owners on one side only."""
        return np.asarray(self.one_sided & self.trainable)

    @property
    def one_sided(self) -> np.ndarray:
        """(N,) bool, whether the owner has examples on one side only."""
        on_train, on_test = (np.bincount(self.unit_index, weights=side) > 0 for side in (self.members, ~self.members))
        one_sided: np.ndarray = (on_train != on_test)[self.unit_index]
        return one_sided

    @property
    def share(self) -> float:
        """What share of the owners the audited model was trained on."""
        kept = self.kept
        trained = len(np.unique(self.unit_index[kept & self.members]))
        return trained / len(np.unique(self.unit_index[kept]))


@dataclass(frozen=True)
class Confidences:
    """How sure models are of the labels of N examples, as the objective of the training has it.

    Attributes:
        ids: (N,) of the examples.
        target: (N,) of the audited model.
        shadows: (S, N) of the shadow models.
        members: (S, N) bool, which examples each shadow was trained on.
    """

    ids: np.ndarray
    target: np.ndarray
    shadows: np.ndarray
    members: np.ndarray


def is_batched(task: Task) -> bool:
    """Tell whether shadows of this task are trained together, which makes dozens of them cheap."""
    return linear_heads.linear_head_vectors(task) is not None


def shadow_confidences(audited: AuditedModel, count: int) -> Confidences:
    """Train ``count`` shadow models by the audited model's trainer and return what they and the audited model think.

    A shadow sees as large a share of the pool's owners as the audited model did, so that it is trained as much. Owners
    with examples on both sides of the split take no part.

    Raises:
        RftError: training failed.
    """
    pool = pool_examples(audited)
    kept = pool.kept
    rng = np.random.default_rng([audited.seed, SUBSET_STREAM])
    members = draw_subsets(pool.unit_index, count, share=pool.share, rng=rng) & kept
    jobs = [Job(int(seed), chosen) for seed, chosen in zip(rng.integers(2**31, size=count), members, strict=True)]

    def yield_confidences(fits: Sequence[Fit]) -> Iterator[np.ndarray]:
        for scores in linear_heads.compute_label_confidences(pool.task, fits, pool.task.features, pool.task.labels):
            yield scores[kept]

    shadows = [
        confidence for fits in _train_shadows(audited, pool.task, jobs) for confidence in yield_confidences(fits)
    ]
    (target,) = yield_confidences([audited.require_fit()])
    return Confidences(pool.ids[kept], target, np.stack(shadows), members[:, kept])


def pool_examples(audited: AuditedModel) -> Pool:
    """Return train and test as one task; raises ``ValueError`` where they differ in views."""
    task: Task = audited.require_task()
    train, test = audited.splits["train"], audited.splits["test"]
    features = audited.require_features()
    units = None
    if train.units is not None and test.units is not None:
        units = np.concatenate([train.units, test.units]).astype(str)
    ids = np.concatenate([train.ids, test.ids])
    pooled = replace(
        task,
        features=join_features([features["train"], features["test"]]),
        labels=torch.cat([task.labels, torch.from_numpy(test.labels)]),
        units=units,
        population=None,
    )
    unit_index = np.unique(ids if units is None else units, return_inverse=True)[1]
    return Pool(pooled, ids, unit_index, np.arange(len(ids)) < len(train), _find_trainable(audited, ids))


def _find_trainable(audited: AuditedModel, ids: np.ndarray) -> np.ndarray:
    """Return (N,) bool, whether the examples with these ids have a loss that training can lower."""
    if LOSS not in audited.predictions:
        return np.ones(len(ids), dtype=bool)
    losses = audited.predictions.set_index("id")[LOSS].loc[ids]
    finite: np.ndarray = np.isfinite(losses.to_numpy(np.float64))
    return finite


def draw_subsets(unit_index: np.ndarray, count: int, *, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return (S, N) bool: random subsets by owner, in which every owner is equally often.

    Each owner is in round(share * S) of the S subsets, at least 4 and at most S - 4, so that no example lacks models
    on one side.

    Args:
        owners: (N,) numbers from 0 on.
        count: S, at least 8.
        share: in (0, 1).
        rng: source of the subsets.
    """
    times = int(np.clip(round(share * count), MIN_SHADOWS_PER_SIDE, count - MIN_SHADOWS_PER_SIDE))
    ranks = rng.random((count, int(unit_index.max()) + 1)).argsort(axis=0)
    return (ranks < times)[:, unit_index]


def _train_shadows(audited: AuditedModel, task: Task, jobs: Sequence[Job]) -> Iterator[Sequence[Fit]]:
    """Train the jobs together where that is one computation, else one by one, so that few states are kept."""
    trainer = shadow_trainer(audited)
    if isinstance(trainer, DPTrainer) and shadow_heads.can_train_together(task, trainer):
        yield shadow_heads.fit(task, jobs, audited.require_fit().require_privacy())
    elif is_batched(task):
        yield trainer.fit(task, jobs)
    else:
        for job in jobs:
            yield trainer.fit(task, [job])


def shadow_trainer(audited: AuditedModel) -> Trainer:
    """Return the audited model's trainer; a private one with the public numbers of its fit, and not charged.

    Nobody ever sees a shadow: its noise may follow from a seed, so that the attack can be repeated.
    """
    trainer = audited.require_trainer()
    if not isinstance(trainer, DPTrainer):
        return trainer
    return replace(trainer.pin_parameters(audited.require_fit().require_privacy()), randomness="seeded")
