"""Noised gradients of linear heads on cached vectors: DP-SGD (Abadi et al. 2016) with gradient norms in closed form.

The gradient of an example's cross-entropy by a head is the outer product of its residual r = p - y and its features
(x, 1), so that its norm is ||r|| sqrt(||x||^2 + 1): nothing as large as the head is made for each example. Many heads,
each with a sample and noise of its own, are one batch of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample
from rft.plugins.privacy.training.unit_index import rows_by_unit
from rft.training import Job
from rft.training.linear_heads import Heads, Vectors, softmax_residuals


@dataclass(frozen=True)
class UnitExamples:
    """What is clipped together: the rows of each unit, and who is left out.

    Attributes:
        vectors: all examples.
        rows: (U, M) example of each place of a unit, -1 where there is none; on the device.
        members: (H, N) bool, which examples each head may see; None: all.
    """

    vectors: Vectors
    rows: Tensor
    members: Tensor | None

    @classmethod
    def from_units(cls, vectors: Vectors, units: np.ndarray, jobs: Sequence[Job]) -> UnitExamples:
        """Arrange examples by the (N,) number of their unit."""
        device = vectors.stored.device
        chosen = [np.ones(len(units), bool) if job.members is None else np.asarray(job.members) for job in jobs]
        restricted = any(job.members is not None for job in jobs)
        members = torch.from_numpy(np.stack(chosen)).to(device) if restricted else None
        return cls(vectors, torch.from_numpy(rows_by_unit(units)).to(device), members)

    @property
    def together(self) -> int:
        """How many stored rows one unit has at most."""
        return self.rows.shape[1] * self.vectors.views

    def gather_rows(self, sample: Sample) -> GatheredRows:
        """Return the rows of the sampled units.

        Each view of an example has its share of the example's weight, so that they are averaged.
        """
        device = self.rows.device
        rows = self.rows[torch.from_numpy(sample.units).to(device)]  # (H, L, rows of a unit)
        there = (rows >= 0) & torch.from_numpy(sample.taken).to(device)[..., None]
        rows, there = rows.clamp(min=0).flatten(1), there.flatten(1)
        if self.members is not None:
            there &= self.members.gather(1, rows)
        vectors, views = self.vectors, self.vectors.views
        factors = vectors.loss_weights(rows)
        weights = there / views if factors is None else there * factors / views
        stored = rows
        if views > 1:
            stored = (rows[..., None] * views + torch.arange(views, device=device)).flatten(1)
            rows, weights = rows.repeat_interleave(views, dim=1), weights.repeat_interleave(views, dim=1)
        return GatheredRows(vectors.scaled_rows(stored), vectors.labels[rows], weights, vectors.squared_lengths[stored])


@dataclass(frozen=True)
class GatheredRows:
    """The R rows that each of H heads gets in a step, as many for each unit; what fills up has weight 0.

    Attributes:
        x: (H, R, D) features.
        labels: (H, R) class indices.
        weights: (H, R) factors of the loss.
        squared_lengths: (H, R) of (x, 1).
    """

    x: Tensor
    labels: Tensor
    weights: Tensor
    squared_lengths: Tensor


@dataclass(frozen=True)
class HeadStepper:
    """The private part of every step of H heads: whom to sample, and the noised gradient of the sample.

    Attributes:
        heads: what is trained.
        examples: on what.
        sampler: who takes part.
        gaussian: the noise; its ``max_grad_norm`` is what contributions are clipped to.
    """

    heads: Heads
    examples: UnitExamples
    sampler: PoissonSampler
    gaussian: GaussianNoise

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer moves: each with H as its first axis."""
        return self.heads.parameters

    @property
    def network(self) -> None:
        """Nothing: a stack of heads holds only what is trained."""
        return None

    @property
    def small(self) -> bool:
        """Whether one thread is enough: always, the matrices of a step are small."""
        return True

    @property
    def rows_at_once(self) -> None:
        """All of a sample."""
        return None

    def draw_sample(self) -> Sample:
        """Return who takes part in the next step."""
        return self.sampler.draw_sample(len(self.heads))

    def set_gradient(self, sample: Sample) -> np.ndarray:
        """Set the noised gradients of a sample, empty or not; return (H,) how many of examples were not finite.

        Those count as zero, in each view by itself. A gradient whose square overflows float32 is one of them.
        """
        if sample.units.shape[1]:
            totals, non_finite = self._clipped_sums(sample)
        else:
            totals = [torch.zeros_like(parameter) for parameter in self.parameters]
            non_finite = np.zeros(len(self.heads), dtype=np.int64)
        for parameter, gradient in zip(self.parameters, self.gaussian.add_noise(totals), strict=True):
            parameter.grad = gradient
        return non_finite

    def with_examples(self, batch: Batch, labels: Tensor, units: np.ndarray) -> HeadStepper:
        """Return the same steps on other examples, (N, D) features in all views alike, which every head may see."""
        vectors = self.examples.vectors
        stored = batch["features"].repeat_interleave(vectors.views, dim=0)
        replaced = replace(vectors, stored=stored, labels=labels)
        return replace(
            self, examples=UnitExamples(replaced, torch.from_numpy(rows_by_unit(units)).to(labels.device), None)
        )

    def copy_network(self, number: int) -> nn.Module:
        """Return one head as a network of its own."""
        return self.heads.build_network(number)

    def with_gaussian(self, gaussian: GaussianNoise) -> HeadStepper:
        """Return the same steps with another noise or clipping norm."""
        return replace(self, gaussian=gaussian)

    def trained_states(self) -> list[dict[str, Tensor]]:
        """Return the state of each head."""
        return [self.heads.head_state(number) for number in range(len(self.heads))]

    def close(self) -> None:
        """Do nothing: there is nothing to take down."""

    def _clipped_sums(self, sample: Sample) -> tuple[list[Tensor], np.ndarray]:
        """Return the sums of clipped gradients, (H, K, D) and (H, K), and the number of gradients not finite."""
        rows, together = self.examples.gather_rows(sample), self.examples.together
        weight, bias = (parameter.detach() for parameter in self.heads.parameters)
        logits = torch.baddbmm(bias[:, :, None], weight, rows.x.mT)  # (H, K, R)
        residual = softmax_residuals(logits, rows.labels[:, None], 1) * rows.weights[:, None]
        squared = residual.square().sum(1) * rows.squared_lengths  # (H, R)
        non_finite = self._drop_non_finite(rows, residual, squared)
        if together == 1:
            residual *= self._clipping_factors(squared)[:, None]
            return [residual @ rows.x, residual.sum(2)], non_finite
        by_unit = residual.unflatten(2, (-1, together)).transpose(1, 2)  # (H, L, K, M)
        by_weight, by_bias = by_unit @ rows.x.unflatten(1, (-1, together)), by_unit.sum(3)  # (H, L, K, D), (H, L, K)
        factors = self._clipping_factors(by_weight.square().sum((2, 3)) + by_bias.square().sum(2))
        sums = [torch.einsum("hlkd,hl->hkd", by_weight, factors), torch.einsum("hlk,hl->hk", by_bias, factors)]
        return sums, non_finite

    def _clipping_factors(self, squared: Tensor) -> Tensor:
        """Return what contributions of these squared norms are multiplied by; 0 where one overflowed."""
        return (self.gaussian.max_grad_norm * squared.rsqrt()).clamp(max=1)

    @staticmethod
    def _drop_non_finite(rows: GatheredRows, residual: Tensor, squared: Tensor) -> np.ndarray:
        """Make nothing of rows that are not finite; return (H,) how many of those that were there were not."""
        if math.isfinite(squared.sum()):  # much cheaper than to look at every number
            return np.zeros(len(squared), dtype=np.int64)
        broken = ~squared.isfinite()
        rows.x[broken], residual.mT[broken], squared[broken] = 0.0, 0.0, 0.0
        return (broken & (rows.weights != 0)).sum(1).cpu().numpy()
