"""Private steps of a linear head and of a network, made ready for a test, and what they are held against."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.training.gradients import engine_selection
from rft.plugins.privacy.training.gradients.engines import Hooks, summed_loss
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import RandomSource, RandomStreams, random_streams
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.stepper import PrivateStepper, build_engine_stepper, build_head_stepper
from rft.plugins.privacy.training.unit_index import unit_of_row
from rft.training import Job, Task
from rft.training.linear_heads import linear_head_vectors
from tests.support import privacy_cases as cases

KINDS = ("heads", "network")  # the two ways of taking a private step


def head_task(n: int = 12, dimension: int = 6, classes: int = cases.CLASSES, views: int = 1, **changes: Any) -> Task:
    """Return a task that trains a linear head, on features some of which give gradients that are clipped."""
    random = torch.Generator().manual_seed(3)
    scale = torch.linspace(0.05, 3, n).repeat_interleave(views)[:, None]
    features = Dense(torch.randn(n * views, dimension, generator=random) * scale, views)
    labels = torch.randint(0, classes, (n,), generator=random)
    return Task(
        **{
            "features": features,
            "labels": labels,
            "units": None,
            "recipe": cases.RECIPE,
            "new_suffix": partial(new_head, dimension, classes, False),
        }
        | changes
    )


@dataclass(frozen=True)
class Given:
    """A source that returns what it is given: standard normals, a row for each call."""

    rows: list[np.ndarray]

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        raise AssertionError("nothing is sampled")

    def draw_normals(self, *shape: int) -> np.ndarray:
        return self.rows.pop(0).reshape(shape).copy()


class Silent:
    """A source of no noise."""

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        raise AssertionError("nothing is sampled")

    def draw_normals(self, *shape: int) -> np.ndarray:
        return np.zeros(shape)


def plans(
    task: Task, noise: Sequence[float] = (1.0,), *, rate: float = 0.5, norm: float = 0.7
) -> list[MechanismParameters]:
    """Return the public numbers of heads that differ in noise."""
    n = int(unit_of_row(task).max()) + 1
    unit = "example" if task.units is None else "unit"
    return [
        MechanismParameters(1.0, 1e-5, False, Mechanism(draw, rate, 10), norm, rate * n, n, unit, 1, "secret")
        for draw in noise
    ]


def silent_noise(plan: MechanismParameters) -> GaussianNoise:
    """Return what clips and divides as planned, without noise."""
    return GaussianNoise(Silent(), np.zeros(1), plan.max_grad_norm, plan.divisor)


def stepper(
    kind: str,
    task: Task,
    plans: Sequence[MechanismParameters],
    jobs: Sequence[Job] | None = None,
    noise: RandomSource | None = None,
) -> PrivateStepper:
    """Return the objects that train: ``heads`` or ``network``, which trains one."""
    secret = random_streams("secret", 0)
    drawn = RandomStreams(secret.sampling, noise or secret.noise, secret.dropout)
    jobs, units = jobs or [Job(seed) for seed in range(len(plans))], unit_of_row(task)
    if kind == "heads":
        vectors = linear_head_vectors(task)
        assert vectors is not None
        return build_head_stepper(task, vectors, units, jobs, plans, drawn)
    choice = engine_selection.EngineSelection("hooks", Hooks, 0.0, {}, 21, True)  # what is chosen for a linear layer
    return build_engine_stepper(task, units, jobs[0], plans[0], choice, drawn)


def sample(*heads: Collection[int]) -> Sample:
    """Return the sample in which each head gets these units."""
    longest = max(map(len, heads))
    units = np.zeros((len(heads), longest), dtype=np.int64)
    taken = np.zeros((len(heads), longest), dtype=bool)
    for row, there, chosen in zip(units, taken, heads, strict=True):
        row[: len(chosen)], there[: len(chosen)] = sorted(chosen), True
    return Sample(units, taken)


def gradient(stepper: PrivateStepper, drawn: Sample) -> np.ndarray:
    """Return the noised gradients of a sample, (H, P)."""
    stepper.set_gradient(drawn)
    return (
        torch.cat([parameter.grad.reshape(len(drawn.units), -1) for parameter in stepper.parameters], dim=1)
        .double()
        .numpy()
    )


def clipped_sum(
    task: Task, network: nn.Module, drawn: Collection[int], norm: float, members: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """Return the sum of the clipped gradients of units, and how many gradients were not finite.

    By a backward pass for each view of each example, in float64: what all private steps are held against.
    """
    network = copy.deepcopy(network).double()
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    units, views, broken = unit_of_row(task), task.features.views, 0
    sums = {unit: np.zeros(sum(parameter.numel() for parameter in parameters)) for unit in drawn}
    for row in np.flatnonzero(np.isin(units, list(drawn)) & (True if members is None else members)):
        label = task.labels[row : row + 1]
        weight = 1.0 if task.class_weights is None else float(task.class_weights[label])
        for view in range(views):
            batch = task.features.batch(torch.tensor([row]), torch.tensor([view]) if views > 1 else None)
            wide = {name: column.double() if column.is_floating_point() else column for name, column in batch.items()}
            gradients = torch.autograd.grad(
                summed_loss(network, wide, label) * weight / views,
                parameters,
                allow_unused=True,
                materialize_grads=True,
            )
            flat = torch.cat([item.flatten() for item in gradients]).numpy()
            broken += not np.isfinite(flat).all()
            sums[units[row]] += flat if np.isfinite(flat).all() else 0
    clipped = [total * min(1.0, norm / max(np.linalg.norm(total), 1e-300)) for total in sums.values()]
    return sum(clipped, np.zeros(sum(parameter.numel() for parameter in parameters))), broken
