"""Noised gradients of any trained part: DP-SGD (Abadi et al. 2016, algorithm 1) on gradients of single examples.

Units, whose contribution is bounded, may have several examples, and a sample may be larger than memory allows. So it is
packed into groups of whole units; only the clipped sums of groups are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.classifier import hash_tensors
from rft.features.columns import Rows
from rft.plugins.privacy.training.gradients.engine_selection import build_network
from rft.plugins.privacy.training.gradients.engines import Batch, Engine
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample
from rft.runtime.devices.fitting_batches import FittingSize, release_device_memory
from rft.runtime.devices.placement import place_batch
from rft.training import Task, trained_state
from rft.training.sharing import ALONE, TrainingShare
from rft.training.threads import is_small

NOBODY = Sample(np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0), dtype=bool))
RowGroup = list[np.ndarray]  # positions in a sample; the group holds all rows of its units


@dataclass(frozen=True)
class RowBatch:
    """Rows that are run together.

    Attributes:
        batch: what the network takes, B examples.
        labels: (B,) class indices.
        weights: (B,) factors of the gradients.
        unit_index: (B,) int64, the unit of each row. None: each row is a unit.
    """

    batch: Batch
    labels: Tensor
    weights: Tensor
    unit_index: Tensor | None = None


@dataclass(frozen=True)
class EngineStepper:
    """The private part of every step of one network: whom to sample, and the noised gradient of the sample.

    Attributes:
        network: what is trained.
        engine: computes the gradients of its single examples.
        task: the examples.
        units: (N,) number of the unit of each example.
        members: (N,) bool, which examples may be seen; None: all.
        size: how many rows may be run together, >= 1; halved where memory runs out.
        sampler: who takes part.
        gaussian: the noise, of one head; its ``max_grad_norm`` is what contributions are clipped to.
        share: this process's part of a step: the first draws sample and noise, each clips the gradients of some units.
    """

    network: nn.Module
    engine: Engine
    task: Task
    units: np.ndarray
    members: np.ndarray | None
    size: FittingSize
    sampler: PoissonSampler
    gaussian: GaussianNoise
    share: TrainingShare = ALONE

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer moves."""
        return self.engine.parameters

    @property
    def rows_at_once(self) -> int:
        """How many rows are run together at most."""
        return self.size.rows

    @property
    def small(self) -> bool:
        """Whether one thread is enough."""
        return is_small(self.network)

    def draw_sample(self) -> Sample:
        """Return who takes part in the next step: one sample, whatever the number of processes."""
        drawn = self.sampler.draw_sample() if self.share.leads else NOBODY
        units = self.share.share_numbers(drawn.units[drawn.taken])
        return Sample(units[None], np.ones((1, len(units)), dtype=bool))

    def set_gradient(self, sample: Sample) -> np.ndarray:
        """Set the noised gradient of a sample, empty or not; return (1,) how many of examples were not finite.

        Those count as zero, in each view by itself. Where memory runs out the same sample is run again in smaller
        parts: each unit's gradient is clipped whole whatever the parts. Noise is drawn once a step, by one process,
        when its sum is there.
        """
        while True:
            try:
                totals, non_finite = self._clipped_sums(sample)
                break
            except (RuntimeError, MemoryError) as error:
                if not self.size.halve_after(error, self.size.rows):
                    raise
            release_device_memory()
        rows = [total[None] for total in totals]  # of one head
        parts = self.gaussian.add_noise(rows) if self.share.leads else self.gaussian.divide_sums(rows)
        for parameter, gradient in zip(self.parameters, self.share.sum_tensors(parts), strict=True):
            parameter.grad = gradient[0]
        return self.share.sum_tensors([torch.tensor([non_finite])])[0].numpy()

    def _clipped_sums(self, sample: Sample) -> tuple[list[Tensor], int]:
        """Return the sum of this process's clipped gradients of a sample, and how many examples' were not finite."""
        totals = [torch.zeros_like(parameter) for parameter in self.parameters]
        non_finite = 0
        for parts in self._sample_groups(sample):
            gradients, lengths, count = self._unit_gradients(parts)
            non_finite += count
            factors = self.gaussian.max_grad_norm / lengths.clamp(min=self.gaussian.max_grad_norm)
            for total, gradient in zip(totals, gradients, strict=True):
                total += torch.tensordot(factors, gradient, dims=1)
        return totals, non_finite

    def with_examples(self, batch: Batch, labels: Tensor, units: np.ndarray) -> EngineStepper:
        """Return the same steps on other examples, in all views alike."""
        features = HeldBatch(batch, self.task.features.views)
        declared = self.task.units if self.task.units is None else units.astype(str)
        task = replace(self.task, features=features, labels=labels.cpu(), units=declared)
        sampler = replace(self.sampler, n=int(units.max()) + 1)
        return replace(self, task=task, units=units, members=None, sampler=sampler)

    def copy_network(self, number: int) -> nn.Module:
        """Return a copy of the network, the only one there is, without what an engine hangs on it."""
        copy = build_network(self.task, number)
        copy.load_state_dict(self.network.state_dict())  # what is frozen may depend on the seed as well
        return copy

    def with_gaussian(self, gaussian: GaussianNoise) -> EngineStepper:
        """Return the same steps with another noise or clipping norm."""
        return replace(self, gaussian=gaussian)

    def trained_states(self) -> list[dict[str, Tensor]]:
        """Return the state of the network."""
        return [trained_state(self.network)]

    def close(self) -> None:
        """Leave the network as it was found, but for the values of its parameters."""
        self.engine.close()

    def _sample_groups(self, sample: Sample) -> Iterator[Iterator[RowBatch]]:
        """Yield this process's sampled examples, in all views, in groups of whole units; read when they are needed."""
        drawn = np.zeros(self.sampler.n, dtype=bool)
        drawn[self.share.select_units(sample.units[sample.taken])] = True
        examples = np.flatnonzero(drawn[self.units] if self.members is None else drawn[self.units] & self.members)
        views = self.task.features.views
        rows, view = np.repeat(examples, views), np.tile(np.arange(views), len(examples))
        for group in pack_units(self.units[rows], self.rows_at_once):
            yield (self._read_part(rows[chosen], view[chosen]) for chosen in group)

    def _read_part(self, rows: np.ndarray, view: np.ndarray) -> RowBatch:
        task, views = self.task, self.task.features.views
        batch = task.features.batch(torch.from_numpy(rows), torch.from_numpy(view) if views > 1 else None)
        labels = task.labels[torch.from_numpy(rows)].to(task.device)
        weights = torch.full((len(rows),), 1 / views, device=task.device)
        if task.class_weights is not None:
            weights = weights * task.class_weights.to(task.device)[labels]
        alone = task.units is None and views == 1
        return RowBatch(
            {name: column.contiguous() for name, column in place_batch(batch, task.device).items()},
            labels,
            weights,
            None if alone else torch.from_numpy(self.units[rows]).to(task.device),
        )

    def _unit_gradients(self, parts: Iterable[RowBatch]) -> tuple[list[Tensor], Tensor, int]:
        """Return the gradients of the units of a group, with their lengths, and how many examples had none.

        A gradient is (U, *shape) for each parameter, a length (U,) over all of them; one that is not finite is none.
        """
        sums: list[Tensor] = []
        non_finite = 0
        for part in parts:
            gradients = self.engine.example_gradients(part.batch, part.labels)
            for gradient in gradients:
                gradient *= part.weights.reshape(-1, *[1] * (gradient.dim() - 1))
            lengths, count = _zero_non_finite(gradients)
            non_finite += count
            if part.unit_index is None:  # each row is a whole unit, and the group has this one part
                return gradients, lengths, non_finite
            by_unit = _sum_by_unit(gradients, part.unit_index)
            sums = [total + added for total, added in zip(sums, by_unit, strict=True)] if sums else by_unit
        lengths, _ = _zero_non_finite(sums)  # a sum of finite gradients may overflow
        return sums, lengths, non_finite


@dataclass(frozen=True)
class HeldBatch:
    """Features that are held as a batch, on whatever device, each example alike in all its views."""

    columns: Batch
    views: int

    @property
    def identity(self) -> str:
        """A hash of the columns; see ``Features``."""
        return hash_tensors(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return these rows of every column."""
        return {name: column[torch.as_tensor(rows, device=column.device)] for name, column in self.columns.items()}


def pack_units(unit_index: np.ndarray, rows_at_once: int) -> Iterator[RowGroup]:
    """Split a sample into groups of whole units, each run in parts of at most ``rows_at_once`` rows.

    Args:
        unit_index: (B,) the unit of each row.
        rows_at_once: how many rows may be run together, >= 1.

    Yields:
        One part with one or more units, or the several parts of one unit that is larger than a part.
    """
    if len(unit_index) <= rows_at_once:
        if len(unit_index):
            yield [np.arange(len(unit_index))]
        return
    order = np.argsort(unit_index, kind="stable")
    waiting: list[np.ndarray] = []
    for unit in np.split(order, np.flatnonzero(np.diff(unit_index[order])) + 1):
        if len(unit) > rows_at_once:
            yield np.array_split(unit, -(-len(unit) // rows_at_once))
            continue
        if sum(map(len, waiting)) + len(unit) > rows_at_once:
            yield [np.concatenate(waiting)]
            waiting = []
        waiting.append(unit)
    if waiting:
        yield [np.concatenate(waiting)]


def _zero_non_finite(gradients: list[Tensor]) -> tuple[Tensor, int]:
    """Zero, in all parameters, each gradient that is not finite in any; return all (B,) lengths and how many it were.

    A length may still be infinite, where the squares of a finite gradient overflow: clipping makes nothing of it.
    """
    lengths = _gradient_norms(gradients)
    if bool(lengths.isfinite().all()):  # much cheaper than to look at every number
        return lengths, 0
    finite = torch.stack([gradient.reshape(len(gradient), -1).isfinite().all(dim=1) for gradient in gradients]).all(0)
    for gradient in gradients:
        gradient[~finite] = 0
    return _gradient_norms(gradients), int((~finite).sum())


def _gradient_norms(gradients: list[Tensor]) -> Tensor:
    norms: Tensor = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    return norms


def _sum_by_unit(gradients: list[Tensor], unit_index: Tensor) -> list[Tensor]:
    present, position = unit_index.unique(return_inverse=True)
    return [
        gradient.new_zeros(len(present), *gradient.shape[1:]).index_add_(0, position, gradient)
        for gradient in gradients
    ]
