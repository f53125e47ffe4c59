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

from rft.training.privacy_facts import PrivacyFacts

if TYPE_CHECKING:
    from rft.features import Features
    from rft.features.batch_independence import BatchDependence


@dataclass(frozen=True)
class Recipe:
    """How a head is trained. ``optimizer`` is ``sgd`` or ``adamw``; ``momentum`` is for SGD only."""

    epochs: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int

    def build_optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the torch optimizer over these parameters."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)


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
class Task:
    """What is to be fitted.

    Attributes:
        features: cached outputs of the frozen part for the N training examples.
        labels: (N,) class indices, int64.
        units: (N,) strings naming whose data each example is, or None.
        new_suffix: seed -> a freshly initialised trainable part, on the CPU.
        recipe: optimizer and schedule.
        device: torch device name to train on.
        precision: ``float32``, or ``bfloat16`` for autocast where the device computes in it.
        class_weights: (K,) float32 factors of the loss of an example by its label, public numbers; None: all 1. An
            example's weight is its own: the mean over a batch divides by the number of examples, not by weights.
        population: whose data this is, or None where the config does not say.
        batch_dependence: what the other examples did to an example's features; None where nobody measured it.
        network: hash of all that ``new_suffix`` makes its networks from, but the seed: tensors, frozen or not, and
            settings. With it an interrupted training knows whether it is the same that goes on. "" without population.
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


@dataclass(frozen=True)
class Job:
    """One fit: its seed and which of the task's examples it may see (None: all)."""

    seed: int
    members: np.ndarray | None = None


@dataclass(frozen=True)
class Fit:
    """A trained suffix.

    Attributes:
        state: what ``trained_state`` returns of it.
        log: one row an epoch: ``{"epoch": 1, "loss": ..., ...}``; the loss is the mean over what the epoch saw.
        unchanged_tensors: how many trained tensors are what they were before training; None where nobody looked.
        privacy: the public numbers and results of private training; None where training was not private.
        finalize: to be called when the result is saved; None where nobody waits for that.
    """

    state: dict[str, torch.Tensor]
    log: list[dict[str, float]] = field(default_factory=list)
    unchanged_tensors: int | None = None
    privacy: PrivacyFacts | None = None
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

    def prepare(self, task: Task) -> PrivacyFacts | None:
        """Calibrate before anything is trained, or raise ``RftError`` with the reason; None without privacy."""

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        """Train one suffix for each job, independently of each other."""
