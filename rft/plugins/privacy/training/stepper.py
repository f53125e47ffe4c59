"""The private part of a step, whatever is trained: the protocol, and which way is taken for a task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.plugins.privacy.training.gradients.engine_selection import EngineSelection, build_network
from rft.plugins.privacy.training.gradients.engine_stepper import EngineStepper
from rft.plugins.privacy.training.gradients.head_stepper import HeadStepper, UnitExamples
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import RandomStreams
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample
from rft.runtime.devices.fitting_batches import FittingSize
from rft.training import Job, Task
from rft.training.linear_heads import Heads, Vectors, linear_head_vectors

MAX_GATHERED_BYTES = 256 * 2**20  # bytes of features that the heads of one stack gather for a step
MAX_GRADIENT_BYTES = 512 * 2**20  # bytes, in float32


class PrivateStepper(Protocol):
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
    def gaussian(self) -> GaussianNoise: ...

    @property
    def parameters(self) -> list[nn.Parameter]: ...

    @property
    def network(self) -> nn.Module | None: ...

    @property
    def small(self) -> bool: ...

    @property
    def rows_at_once(self) -> int | None: ...

    def draw_sample(self) -> Sample:
        """Return who takes part in the next step."""

    def set_gradient(self, sample: Sample) -> np.ndarray:
        """Set the noised gradients of a sample, empty or not; return (H,) how many examples' were not finite."""

    def with_examples(self, batch: Batch, labels: Tensor, units: np.ndarray) -> PrivateStepper:
        """Return the same steps on other examples: columns of N, (N,) labels and (N,) numbers of units."""

    def copy_network(self, number: int) -> nn.Module:
        """Return a copy of one of the H that are trained, as a network: a batch in, logits out."""

    def with_gaussian(self, gaussian: GaussianNoise) -> PrivateStepper:
        """Return the same steps with another noise or clipping norm."""

    def trained_states(self) -> list[dict[str, Tensor]]:
        """Return the state of each of the H that are trained, as ``trained_state`` gives it."""

    def close(self) -> None:
        """Leave what was trained as it was found, but for the values of its parameters."""


@dataclass
class StepCounters:
    """What is counted over the steps of H heads: (H,) gradients that were not finite.

    It follows from who was sampled, which must stay secret: never to be published. How many samples were empty is not
    even counted.
    """

    non_finite_gradients: np.ndarray

    @classmethod
    def start_at_zero(cls, heads: int) -> StepCounters:
        """Return counters at zero."""
        return cls(np.zeros(heads, dtype=np.int64))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the counts as tensors, for a checkpoint."""
        return {f"counter.{name}": torch.from_numpy(counts.copy()) for name, counts in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> StepCounters:
        """Return what ``to_tensors`` returned."""
        return cls(tensors["counter.non_finite_gradients"].numpy())


def private_step(
    stepper: PrivateStepper, optimizer: torch.optim.Optimizer, sample: Sample, counters: StepCounters
) -> None:
    """Take one step with a sample. An empty one is a step like any other: it is noised and it counts."""
    counters.non_finite_gradients += stepper.set_gradient(sample)
    optimizer.step()


def stackable_vectors(task: Task, units: np.ndarray, plan: MechanismParameters) -> Vectors | None:
    """Return the examples for ``HeadStepper``; None where they are not vectors, or filled up would not find room.

    Units are filled up to the one with the most examples.
    """
    examples = linear_head_vectors(task)
    return examples if examples is not None and _gathered_bytes(examples, units, plan) <= MAX_GRADIENT_BYTES else None


def split_into_stacks(
    jobs: Sequence[Job], examples: Vectors, units: np.ndarray, plan: MechanismParameters
) -> Iterator[slice]:
    """Yield which jobs are trained in one stack, so that what their heads gather for a step finds room."""
    together = max(1, MAX_GATHERED_BYTES // _gathered_bytes(examples, units, plan))
    for start in range(0, len(jobs), together):
        yield slice(start, start + together)


def build_head_stepper(
    task: Task,
    examples: Vectors,
    units: np.ndarray,
    jobs: Sequence[Job],
    plans: Sequence[MechanismParameters],
    streams: RandomStreams,
) -> HeadStepper:
    """Return the steps of one linear head for each job, with the noise of its plan; the rest of the plans agrees."""
    heads = Heads(task, [job.seed for job in jobs])
    return HeadStepper(
        heads,
        UnitExamples.from_units(examples, units, jobs),
        _build_sampler(plans[0], streams),
        _build_noise(plans, streams),
    )


def build_engine_stepper(
    task: Task,
    units: np.ndarray,
    job: Job,
    plan: MechanismParameters,
    selection: EngineSelection,
    streams: RandomStreams,
) -> EngineStepper:
    """Return the steps of one network."""
    assert selection.engine is not None
    network = build_network(task, job.seed)
    return EngineStepper(
        network=network,
        engine=selection.engine(network, task.objective),
        task=task,
        units=units,
        members=job.members,
        size=FittingSize(_rows_at_once(selection, task.recipe.batch_size)),
        sampler=_build_sampler(plan, streams),
        gaussian=_build_noise([plan], streams),
        share=job.share,
    )


def _build_sampler(plan: MechanismParameters, streams: RandomStreams) -> PoissonSampler:
    return PoissonSampler(streams.sampling, plan.n, plan.mechanism.sample_rate)


def _build_noise(plans: Sequence[MechanismParameters], streams: RandomStreams) -> GaussianNoise:
    noise = np.array([plan.mechanism.noise_multiplier for plan in plans])
    return GaussianNoise(streams.noise, noise, plans[0].max_grad_norm, plans[0].divisor)


def largest_sample_size(plan: MechanismParameters) -> int:
    """Return how many units a step samples, hardly ever more."""
    expected = plan.n * plan.mechanism.sample_rate
    return min(plan.n, math.ceil(expected + 6 * math.sqrt(expected)) + 1)


def _gathered_bytes(examples: Vectors, units: np.ndarray, plan: MechanismParameters) -> int:
    """Return the bytes of features that one head gathers for a step, hardly ever more."""
    return int(largest_sample_size(plan) * np.bincount(units).max() * examples.views * 4 * examples.dimension)


def _rows_at_once(selection: EngineSelection, batch_size: int) -> int:
    """Return how many rows to run together, so that their gradients, and their activations, find room."""
    rows = max(1, MAX_GRADIENT_BYTES // (4 * selection.trained_parameters))
    # The batch size is what the user expects the device to hold; a sample of persons may have many times as many rows.
    return rows if selection.is_head else min(rows, batch_size)
