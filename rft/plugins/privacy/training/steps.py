"""The private part of a step, whatever is trained: the protocol, and which way is taken for a task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.classifier import Batch
from rft.plugins.privacy.training.gradients.engine_selection import Choice, build
from rft.plugins.privacy.training.gradients.engine_steps import EngineSteps
from rft.plugins.privacy.training.gradients.head_steps import Examples, HeadSteps
from rft.plugins.privacy.training.mechanism_parameters import Plan
from rft.plugins.privacy.training.noise import Gaussian
from rft.plugins.privacy.training.randomness import Draws
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample
from rft.training import Job, Task
from rft.training.linear_heads import Heads, Vectors, vectors

GATHERED_AT_ONCE = 256 * 2**20  # bytes of features that the heads of one stack gather for a step
GRADIENTS_AT_ONCE = 512 * 2**20  # bytes, in float32


class Steps(Protocol):
    """The objects that training uses in every step, and that the self-test looks at before the first one.

    Attributes:
        sampler: who takes part in a step.
        gaussian: the clipping norm, the noise, and the divisor.
        parameters: what the optimizer moves.
        network: what the gradients are computed with and may hold more than is trained; None for stacked heads.
        small: whether one thread is enough.
        rows_at_once: how many rows are run together at most; None: all of a sample.
    """

    @property
    def sampler(self) -> PoissonSampler: ...

    @property
    def gaussian(self) -> Gaussian: ...

    @property
    def parameters(self) -> list[nn.Parameter]: ...

    @property
    def network(self) -> nn.Module | None: ...

    @property
    def small(self) -> bool: ...

    @property
    def rows_at_once(self) -> int | None: ...

    def draw(self) -> Sample:
        """Return who takes part in the next step."""

    def set_gradient(self, sample: Sample) -> np.ndarray:
        """Set the noised gradients of a sample, empty or not; return (H,) how many examples' were not finite."""

    def on(self, batch: Batch, labels: Tensor, units: np.ndarray) -> Steps:
        """Return the same steps on other examples: columns of N, (N,) labels and (N,) numbers of units."""

    def suffix(self, number: int) -> nn.Module:
        """Return a copy of one of the H that are trained, as a network: a batch in, logits out."""

    def with_gaussian(self, gaussian: Gaussian) -> Steps:
        """Return the same steps with another noise or clipping norm."""

    def states(self) -> list[dict[str, Tensor]]:
        """Return the state of each of the H that are trained, as ``trained_state`` gives it."""

    def close(self) -> None:
        """Leave what was trained as it was found, but for the values of its parameters."""


@dataclass
class Tally:
    """What is counted over the steps of H heads: (H,) gradients that were not finite.

    It follows from who was sampled, which must stay secret: never to be published. How many samples were empty is not
    even counted.
    """

    non_finite_gradients: np.ndarray

    @classmethod
    def of(cls, heads: int) -> Tally:
        """Return a tally of nothing."""
        return cls(np.zeros(heads, dtype=np.int64))

    def saved(self) -> dict[str, Tensor]:
        """Return the counts as tensors, for a checkpoint."""
        return {f"tally.{name}": torch.from_numpy(counts.copy()) for name, counts in vars(self).items()}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Tally:
        """Return what ``saved`` returned."""
        return cls(tensors["tally.non_finite_gradients"].numpy())


def take(steps: Steps, optimizer: torch.optim.Optimizer, sample: Sample, tally: Tally) -> None:
    """Take one step with a sample. An empty one is a step like any other: it is noised and it counts."""
    tally.non_finite_gradients += steps.set_gradient(sample)
    optimizer.step()


def stacked(task: Task, units: np.ndarray, plan: Plan) -> Vectors | None:
    """Return the examples for ``HeadSteps``; None where they are not vectors, or filled up would not find room.

    Units are filled up to the one with the most examples.
    """
    found = vectors(task)
    return found if found is not None and _gathered(found, units, plan) <= GRADIENTS_AT_ONCE else None


def stacks(jobs: Sequence[Job], found: Vectors, units: np.ndarray, plan: Plan) -> Iterator[slice]:
    """Yield which jobs are trained in one stack, so that what their heads gather for a step finds room."""
    together = max(1, GATHERED_AT_ONCE // _gathered(found, units, plan))
    for start in range(0, len(jobs), together):
        yield slice(start, start + together)


def head_steps(
    task: Task, found: Vectors, units: np.ndarray, jobs: Sequence[Job], plans: Sequence[Plan], draws: Draws
) -> HeadSteps:
    """Return the steps of one linear head for each job, with the noise of its plan; the rest of the plans agrees."""
    heads = Heads(task, [job.seed for job in jobs])
    return HeadSteps(heads, Examples.of(found, units, jobs), _sampler(plans[0], draws), _gaussian(plans, draws))


def engine_steps(task: Task, units: np.ndarray, job: Job, plan: Plan, choice: Choice, draws: Draws) -> EngineSteps:
    """Return the steps of one network."""
    assert choice.engine is not None
    network = build(task, job.seed)
    return EngineSteps(
        network=network,
        engine=choice.engine(network),
        task=task,
        units=units,
        members=job.members,
        rows_at_once=_rows_at_once(choice, task.recipe.batch_size),
        sampler=_sampler(plan, draws),
        gaussian=_gaussian([plan], draws),
    )


def _sampler(plan: Plan, draws: Draws) -> PoissonSampler:
    return PoissonSampler(draws.sampling, plan.n, plan.mechanism.sample_rate)


def _gaussian(plans: Sequence[Plan], draws: Draws) -> Gaussian:
    noise = np.array([plan.mechanism.noise_multiplier for plan in plans])
    return Gaussian(draws.noise, noise, plans[0].max_grad_norm, plans[0].divisor)


def largest_sample(plan: Plan) -> int:
    """Return how many units a step samples, hardly ever more."""
    expected = plan.n * plan.mechanism.sample_rate
    return min(plan.n, math.ceil(expected + 6 * math.sqrt(expected)) + 1)


def _gathered(found: Vectors, units: np.ndarray, plan: Plan) -> int:
    """Return the bytes of features that one head gathers for a step, hardly ever more."""
    return int(largest_sample(plan) * np.bincount(units).max() * found.views * 4 * found.dimension)


def _rows_at_once(choice: Choice, batch_size: int) -> int:
    """Return how many rows to run together, so that their gradients, and their activations, find room."""
    rows = max(1, GRADIENTS_AT_ONCE // (4 * choice.trained_parameters))
    # The batch size is what the user expects the device to hold; a sample of persons may have many times as many rows.
    return rows if choice.is_head else min(rows, batch_size)
