"""How long things take on this machine, as busy as it is now: measured on a few examples, and on a few steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.data import Dataset, Inputs
from rft.features import Dense
from rft.features.columns import Rows
from rft.features.extract import run_batches
from rft.pipeline.targets.partitioned import PartitionedBackbone
from rft.pipeline.targets.training_run import OBJECTIVES, build_class_weights
from rft.runtime.progress import hide_progress
from rft.training import Job, Task, Workload
from rft.training.linear_heads import linear_head_vectors
from rft.training.loop import StandardTrainer

TIMED_EXAMPLES = 8
TIMED_STEPS = 24  # of training, where these are quick
QUICK = 0.05  # seconds of a step


@dataclass(frozen=True)
class _Repeated:
    """(N) examples that are the few of a batch over and over, as ``Features``."""

    held: Batch
    n: int
    views: int = 1
    identity: str = ""

    def __len__(self) -> int:
        return self.n

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return copies of the examples that stand for these rows."""
        few = len(next(iter(self.held.values())))
        chosen = torch.as_tensor(np.asarray(rows)) % few
        return {name: column[chosen] for name, column in self.held.items()}


@dataclass(frozen=True)
class Pace:
    """Seconds that parts of an audit take.

    Attributes:
        partition: the backbone, cut.
        dataset: the examples.
    """

    partition: PartitionedBackbone
    dataset: Dataset

    @cached_property
    def rows(self) -> np.ndarray:
        """(B,) the training examples that are timed, drawn at random."""
        random = np.random.default_rng(self.partition.settings.core.seed)
        n = len(self.dataset.splits["train"])
        return np.sort(random.choice(n, min(TIMED_EXAMPLES, n), replace=False))

    @cached_property
    def inputs(self) -> Inputs:
        """What reads the examples."""
        core = self.partition.settings.core
        return self.partition.backbone.preprocessing.inputs(self.dataset.splits, core.data, core.seed)

    @cached_property
    def computed(self) -> tuple[Batch, float]:
        """The features of the timed examples, and the seconds of an example, reading included; of what is frozen."""
        partition, items = self.partition, self.dataset.splits["train"].items
        assert partition.prefix is not None
        for _ in range(2):  # the first time, memory is fetched and kernels are chosen
            start = time.perf_counter()
            features = run_batches(
                partition.prefix,
                self.inputs,
                items,
                [self.rows],
                device=partition.device,
                precision=partition.precision,
            )[0]
            seconds = time.perf_counter() - start
        return features, seconds / len(self.rows)

    @cached_property
    def forward(self) -> float:
        """An example through the whole model, without reading it."""
        batch = self._place_inputs()
        model = self.partition.cut.classifier.eval().to(self.partition.device)
        with torch.no_grad():
            return _time_call(lambda: model(batch)) / len(self.rows)

    @cached_property
    def gradient(self) -> float:
        """A gradient of an example: forward, and back through the whole model."""
        batch = self._place_inputs()
        model = self.partition.cut.classifier.eval().to(self.partition.device)
        first = next(model.parameters())

        def run() -> None:
            with torch.enable_grad():
                torch.autograd.grad(model(batch)[:, 0].sum(), first, allow_unused=True)

        wanted = first.requires_grad
        first.requires_grad_(True)
        try:
            return _time_call(run) / len(self.rows)
        finally:
            first.requires_grad_(wanted)

    def time_training(self, heads: int = 1) -> tuple[float, int]:
        """Return the seconds that the standard training of so many models at once takes, and of how many steps it is.

        A few steps are taken, on the features of a few examples over and over.
        """
        task = self._build_task()
        steps = task.recipe.count_steps(len(self.dataset.splits["train"]))
        together = heads if heads == 1 or linear_head_vectors(task) is not None else 1
        everybody = np.ones(len(task.labels), bool)
        jobs = [Job(0)] if together == 1 else [Job(seed, everybody) for seed in range(together)]
        first = _time_fit(task, jobs, 1)
        timed = TIMED_STEPS if first < QUICK * together else 1
        return _time_fit(task, jobs, timed) / timed * steps * heads / together, steps

    def _build_task(self) -> Task:
        """Return a training task of one batch of examples."""
        partition, core = self.partition, self.partition.settings.core
        train = self.dataset.splits["train"]
        units = len(train) if train.units is None else len(set(train.units.tolist()))
        dimension = partition.backbone.dimension if partition.cut.freeze == "all" else None
        recipe = StandardTrainer().choose_recipe(core.train, Workload(len(train), units, dimension))
        n = min(recipe.batch_size, len(train))
        objective = OBJECTIVES[core.task]
        return Task(
            self._repeat_features(n),
            objective.make_up_labels(n, partition.cut.classifier.head.linear.out_features),
            None,
            partition.cut.new_suffix,
            recipe,
            partition.device,
            class_weights=build_class_weights(core, self.dataset.classes),
            objective=objective,
        )

    def _repeat_features(self, n: int) -> Dense | _Repeated:
        if not self.partition.cut.cached:
            return _Repeated(self.inputs.batch("train", self.rows), n)
        features = self.computed[0]
        held = {name: column.float() if column.is_floating_point() else column for name, column in features.items()}
        repeated = _Repeated(held, n)
        if set(features) == {"features"}:
            return Dense(repeated.batch(np.arange(n))["features"])
        return repeated

    def _place_inputs(self) -> dict[str, Tensor]:
        device = self.partition.device
        return {name: column.to(device) for name, column in self.inputs.batch("train", self.rows).items()}


def _time_fit(task: Task, jobs: Sequence[Job], steps: int) -> float:
    """Return the seconds of so many steps, each of all the examples of the task."""
    start = time.perf_counter()
    with hide_progress():
        StandardTrainer().fit(replace(task, recipe=replace(task.recipe, epochs=steps)), jobs)
    return time.perf_counter() - start


def _time_call(run: Callable[[], object]) -> float:
    run()  # the first time, memory is fetched and kernels are chosen
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
