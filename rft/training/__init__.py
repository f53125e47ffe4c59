"""The seam of training: a ``Task`` says what to fit, ``Job`` which examples a fit may see, ``Fit`` what came out.

``trainer.fit(task, jobs)`` trains the audited model, the shadow models of an attack and a frontier of privacy levels
by one mechanism. A trainer is a value: ``dataclasses.replace(trainer, epsilon=2.0)`` is another trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch import nn

from rft.training.objectives import CROSS_ENTROPY, Objective
from rft.training.privacy_facts import PrivacyFacts
from rft.training.sharing import ALONE, TrainingShare

if TYPE_CHECKING:
    from rft.config.tables.train import TrainConfig
    from rft.features import Features
    from rft.features.batch_independence import BatchDependence


@dataclass(frozen=True)
class Recipe:
    """How a head is trained: every number that a training follows from, but its seed.

    Attributes:
        epochs: passes over the training examples, at least 1.
        optimizer: ``sgd`` or ``adamw``.
        learning_rate: of the first step, above 0.
        momentum: of SGD, in [0, 1).
        weight_decay: at least 0.
        batch_size: examples a step, at least 1.
        schedule: ``constant``, or ``cosine``: the learning rate falls to 0 along half a cosine wave (Loshchilov and
            Hutter 2017, ICLR, without restarts). Private training takes constant ones alone.
        stop_after: how many of the epochs are taken, where validation stopped training before the last; None: all.
    """

    epochs: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    schedule: str = "constant"
    stop_after: int | None = None

    @property
    def taken_epochs(self) -> int:
        """How many epochs are taken."""
        return self.stop_after or self.epochs

    def build_optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the torch optimizer over these parameters."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)

    def count_steps(self, examples: int) -> int:
        """Return how many steps so many examples take."""
        return self.epochs * -(-examples // self.batch_size)

    def build_scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return what sets the learning rate of each of so many steps."""
        if self.schedule == "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


@dataclass(frozen=True)
class Workload:
    """What is trained and on how much, as far as default recipes follow from it.

    Attributes:
        examples: N, of the training split.
        units: how many units they are of; N where none are declared.
        head_dimension: D, of the vectors that a linear head is trained on; None where more than a head is trained.
    """

    examples: int
    units: int
    head_dimension: int | None


@dataclass(frozen=True)
class Population:
    """The people whom the training examples are about, as far as the config names them.

    Attributes:
        name: what the config calls them (``data.population``).
        unit_ids: (N,) strings, the unit of each example, or its id where no units are declared.
        folder: the config's folder, which relative paths start from.
    """

    name: str
    unit_ids: np.ndarray
    folder: Path


@dataclass(frozen=True)
class EarlyStopping:
    """The validation examples that training is stopped by.

    Attributes:
        features: of the V validation examples, of the task's kind.
        labels: of these, as those of the task.
        patience: epochs without a lower loss on them after which training ends, at least 1.
    """

    features: Features
    labels: torch.Tensor
    patience: int


@dataclass(frozen=True)
class Task:
    """What is to be fitted.

    Attributes:
        features: cached outputs of the frozen part for the N training examples.
        labels: (N, ...) int64, of the N examples: class indices, or what else the objective takes.
        units: (N,) strings naming whose data each example is, or None.
        new_suffix: seed -> a freshly initialised trainable part, on the CPU.
        recipe: optimizer and schedule.
        device: torch device name to train on.
        precision: ``float32``, or ``bfloat16`` for autocast where the device computes in it.
        class_weights: (K,) float32 factors of the loss of an example by its label, public numbers; None: all 1. An
            example's weight is its own: the mean over a batch divides by the number of examples, not by weights.
        population: whose data this is, or None where the config does not say.
        batch_dependence: what the other examples did to an example's features; None where nobody measured it.
        early_stopping: what a training without privacy is stopped by; None: it takes all epochs.
        network: hash of all that ``new_suffix`` makes its networks from, but the seed: tensors, frozen or not, and
            settings. With it an interrupted training knows whether it is the same that goes on. "" without population.
        tokens: what texts are cut to, a public number; None where examples are no texts, or nobody says.
        objective: what training lowers.
    """

    features: Features
    labels: torch.Tensor
    units: np.ndarray | None
    new_suffix: Callable[[int], nn.Module]
    recipe: Recipe
    device: str = "cpu"
    precision: str = "float32"
    class_weights: torch.Tensor | None = None
    population: Population | None = None
    batch_dependence: BatchDependence | None = None
    network: str = ""
    early_stopping: EarlyStopping | None = None
    tokens: int | None = None
    objective: Objective = CROSS_ENTROPY


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
        seed: what batches, views and a fresh head are drawn from.
        members: (N,) bool, which of the task's examples it may see; None: all.
        share: this process's part of it. Heads on vectors are trained by each process for itself: they cost little.
    """

    seed: int
    members: np.ndarray | None = None
    share: TrainingShare = ALONE


@dataclass(frozen=True)
class Fit:
    """A trained suffix.

    Attributes:
        state: what ``trained_state`` returns of it.
        log: one row an epoch: ``{"epoch": 1, "loss": ..., ...}``; the loss is the mean over what the epoch saw, and
            ``validation_loss`` that over the validation examples after it, where training is stopped by them.
        unchanged_tensors: how many trained tensors are what they were before training; None where nobody looked.
        privacy: the public numbers and results of private training; None where training was not private.
        kept_epoch: the epoch whose weights were kept, where validation chose it; None: the last.
        finalize: to be called when the result is saved; None where nobody waits for that.
    """

    state: dict[str, torch.Tensor]
    log: list[dict[str, float]] = field(default_factory=list)
    unchanged_tensors: int | None = None
    privacy: PrivacyFacts | None = None
    kept_epoch: int | None = None
    finalize: Callable[[], None] | None = None

    @property
    def mode(self) -> Literal["standard", "private"]:
        """Whether training was private."""
        return "standard" if self.privacy is None else "private"

    def require_privacy(self) -> PrivacyFacts:
        """Return what is known of private training; raises ``ValueError`` where training was not private."""
        if self.privacy is None:
            raise ValueError("the fit is of a standard training")
        return self.privacy


def trained_state(suffix: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies, on the CPU, of what training may change: all of the state but the frozen parameters, by name."""
    frozen = {name for name, parameter in suffix.named_parameters() if not parameter.requires_grad}
    state = suffix.state_dict()
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items() if name not in frozen}


class Trainer(Protocol):
    """A way to train. Implementations are frozen dataclasses.

    Attributes:
        needs_independent_examples: whether what it promises needs features that do not depend on the other examples:
            how they do is then measured before they are extracted, and where it matters each example is run by itself.
    """

    @property
    def needs_independent_examples(self) -> bool: ...

    def choose_recipe(self, asked: TrainConfig, workload: Workload) -> Recipe:
        """Return the recipe with what ``[train]`` leaves open filled in, from public numbers alone."""

    def prepare(self, task: Task) -> PrivacyFacts | None:
        """Calibrate before anything is trained, or raise ``RftError`` with the reason; None without privacy."""

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        """Train one suffix for each job, independently of each other."""
