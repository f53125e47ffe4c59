"""One step of DP-SGD (Abadi et al. 2016, algorithm 1): from the gradients of single examples to a noised step.

Units, whose contribution is bounded, may have several examples, and a sampled batch may be larger than memory allows.
So a batch is packed into groups of whole units; only the clipped sums of groups are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.plugins.privacy.engines import Batch, Engine

Group = list[np.ndarray]  # positions in a batch; the group holds all rows of its units


@dataclass(frozen=True)
class Part:
    """Rows that are run together.

    Attributes:
        batch: what the network takes, B examples.
        labels: (B,) class indices.
        owners: (B,) int64, whose each example is. None: each example is a unit.
    """

    batch: Batch
    labels: Tensor
    owners: Tensor | None = None


@dataclass(frozen=True)
class Gaussian:
    """The noise of a training.

    Attributes:
        generator: draws in float64, on the CPU whatever the device.
        noise_multiplier: standard deviation of the noise, in units of ``max_grad_norm``.
        max_grad_norm: bound on the norm of one unit's gradient.
        divisor: what the noised sum is divided by; a public constant, never the size of a batch.
    """

    generator: np.random.Generator
    noise_multiplier: float
    max_grad_norm: float
    divisor: float

    def like(self, parameter: Tensor) -> Tensor:
        """Return fresh noise for a sum of clipped gradients."""
        scale = self.noise_multiplier * self.max_grad_norm
        drawn = torch.from_numpy(np.asarray(self.generator.normal(0.0, scale, size=tuple(parameter.shape))))
        return drawn.to(parameter.dtype).to(parameter.device)


def pack(owners: np.ndarray, rows_at_once: int) -> Iterator[Group]:
    """Split a batch into groups of whole units, each run in parts of at most ``rows_at_once`` rows.

    Args:
        owners: (B,) whose each example is.
        rows_at_once: how many rows may be run together, >= 1.

    Yields:
        One part with one or more units, or the several parts of one unit that is larger than a part.
    """
    if len(owners) <= rows_at_once:
        if len(owners):
            yield [np.arange(len(owners))]
        return
    order = np.argsort(owners, kind="stable")
    waiting: list[np.ndarray] = []
    for unit in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1):
        if len(unit) > rows_at_once:
            yield np.array_split(unit, -(-len(unit) // rows_at_once))
            continue
        if sum(map(len, waiting)) + len(unit) > rows_at_once:
            yield [np.concatenate(waiting)]
            waiting = []
        waiting.append(unit)
    if waiting:
        yield [np.concatenate(waiting)]


def step(engine: Engine, optimizer: torch.optim.Optimizer, groups: Iterable[Iterable[Part]], gaussian: Gaussian) -> int:
    """Take one step and return how many per-example gradients were not finite (and counted as zero).

    Args:
        engine: computes the gradients of single examples.
        optimizer: over the parameters of ``engine``.
        groups: the sampled batch, each group with all examples of its units; none is a step of noise alone.
        gaussian: what hides one unit's contribution.
    """
    totals = [torch.zeros_like(parameter) for parameter in engine.parameters]
    non_finite = 0
    for parts in groups:
        gradients, lengths, count = _of_units(engine, parts)
        non_finite += count
        factors = gaussian.max_grad_norm / lengths.clamp(min=gaussian.max_grad_norm)
        for total, gradient in zip(totals, gradients, strict=True):
            total += torch.tensordot(factors, gradient, dims=1)
    for parameter, total in zip(engine.parameters, totals, strict=True):
        parameter.grad = (total + gaussian.like(parameter)) / gaussian.divisor
    optimizer.step()
    return non_finite


def _of_units(engine: Engine, parts: Iterable[Part]) -> tuple[list[Tensor], Tensor, int]:
    """Return the gradient of each unit of a group, for each parameter (U, *shape), its (U,) length over all parameters,
    and how many gradients of examples were not finite.
    """
    sums: list[Tensor] = []
    non_finite = 0
    for part in parts:
        gradients = engine.gradients(part.batch, part.labels)
        lengths, count = _zero_non_finite(gradients)
        non_finite += count
        if part.owners is None:  # each example is a whole unit, and the group has this one part
            return gradients, lengths, non_finite
        by_unit = _sum_by_unit(gradients, part.owners)
        sums = [one + other for one, other in zip(sums, by_unit, strict=True)] if sums else by_unit
    lengths, _ = _zero_non_finite(sums)  # a sum of finite gradients may overflow
    return sums, lengths, non_finite


def _zero_non_finite(gradients: list[Tensor]) -> tuple[Tensor, int]:
    """Zero, in all parameters, each gradient that is not finite in any; return all (B,) lengths and how many it were.

    A length may still be infinite, where the squares of a finite gradient overflow: clipping makes nothing of it.
    """
    lengths = _lengths(gradients)
    if bool(lengths.isfinite().all()):  # much cheaper than to look at every number
        return lengths, 0
    finite = torch.stack([gradient.reshape(len(gradient), -1).isfinite().all(dim=1) for gradient in gradients]).all(0)
    for gradient in gradients:
        gradient[~finite] = 0
    return _lengths(gradients), int((~finite).sum())


def _lengths(gradients: list[Tensor]) -> Tensor:
    return torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)


def _sum_by_unit(gradients: list[Tensor], owners: Tensor) -> list[Tensor]:
    present, position = owners.unique(return_inverse=True)
    return [
        gradient.new_zeros(len(present), *gradient.shape[1:]).index_add_(0, position, gradient)
        for gradient in gradients
    ]
