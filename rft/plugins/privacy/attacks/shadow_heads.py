"""Shadow heads of a private linear head: the same DP-SGD, many heads on one sample a step.

Heads that are released need a sample each, since on a shared one they compose to a far larger epsilon. Nobody sees a
shadow, and each alone is trained exactly as the audited head was; so one sample serves all of them, its features are
gathered once, and a step of 64 heads is one product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rft.errors import RftError
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.randomness import random_streams
from rft.plugins.privacy.training.sampling import PoissonSampler
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.plugins.privacy.training.unit_index import rows_by_unit, unit_of_row
from rft.runtime.progress import track_progress
from rft.training import Fit, Job, Task
from rft.training.linear_heads import Heads, Vectors, linear_head_vectors, softmax_residuals
from rft.training.privacy_facts import PrivacyFacts
from rft.training.threads import one_thread

MAX_ROWS_PER_UNIT = 64  # stored rows of one unit: their products by pairs are held for every sampled unit and head


def can_train_together(task: Task, trainer: DPTrainer) -> bool:
    """Tell whether ``fit`` trains as this trainer does: a linear head by steps, and no unit with very many rows."""
    data = linear_head_vectors(task)
    if data is None or trainer.method != "sgd":
        return False
    return int(np.bincount(unit_of_row(task)).max()) * data.views <= MAX_ROWS_PER_UNIT


def fit(task: Task, jobs: Sequence[Job], facts: PrivacyFacts) -> list[Fit]:
    """Train a head for each job with the public numbers of a private fit; sample and noise follow from the first seed.

    Args:
        task: what ``can_train_together``; it may have more units than the audited model's, as long as members have as
            many.
        jobs: seeds and members.
        facts: of the audited model's fit.

    Raises:
        RftError: training ended with weights that are not finite.
    """
    data, random = linear_head_vectors(task), random_streams("seeded", jobs[0].seed)
    assert data is not None
    heads = Heads(task, [job.seed for job in jobs])
    rows = torch.from_numpy(rows_by_unit(unit_of_row(task))).to(task.device)  # (U, M), -1 fills up
    sampler = PoissonSampler(random.sampling, len(rows), facts.sample_rate)
    noise_multipliers = np.full(len(jobs), facts.noise_multiplier)
    gaussian = GaussianNoise(random.noise, noise_multipliers, facts.max_grad_norm, facts.divisor)
    members = _member_matrix(task, jobs)
    optimizer = task.recipe.build_optimizer(heads.parameters)
    with one_thread(task.device):
        for _ in track_progress(range(facts.steps), f"Private training of {len(jobs)} shadows"):
            sample = sampler.draw_sample()
            units = torch.from_numpy(sample.units[sample.taken]).to(task.device)
            totals = clipped_sums(heads, data, rows[units], members, max_grad_norm=gaussian.max_grad_norm)
            for parameter, gradient in zip(heads.parameters, gaussian.add_noise(totals), strict=True):
                parameter.grad = gradient
            optimizer.step()
    if not all(parameter.isfinite().all() for parameter in heads.parameters):
        raise RftError("private training ended with weights that are not finite", where="train.learning_rate")
    return [Fit(heads.head_state(number)) for number in range(len(jobs))]


def clipped_sums(heads: Heads, data: Vectors, rows: Tensor, members: Tensor, *, max_grad_norm: float) -> list[Tensor]:
    """Return the sums of the clipped gradients of one sample's units, by weight (H, K, D) and by bias (H, K).

    Features that are not finite count as no example, and a gradient whose norm overflows as zero.

    Args:
        heads: the stack.
        data: the examples.
        rows: (L, M) numbers of the examples of each unit, -1 where there is none.
        members: (N, H) float32, 1 where a head may see an example and 0 where not.
        max_grad_norm: what the contribution of a unit is clipped to.
    """
    x, labels, factors = _gather_rows(data, rows)
    weight = heads.weight.detach().transpose(0, 1)  # (K, H, D)
    logits = torch.addmm(heads.bias.detach().T.flatten(), x, weight.flatten(0, 1).T).view(len(x), *weight.shape[:2])
    residual = softmax_residuals(logits, labels[:, None, None].expand(-1, 1, len(heads)), 1)
    there = members[rows.clamp(min=0)].repeat_interleave(data.views, dim=1).flatten(0, 1) * factors[:, None]
    by_unit = (residual * there[:, None]).unflatten(0, (len(rows), rows.shape[1] * data.views))  # (L, R, K, H)
    squared = _squared_norms(by_unit, x.view(*by_unit.shape[:2], data.dimension))
    scale = torch.where(squared.isfinite(), max_grad_norm / squared.sqrt().clamp(min=max_grad_norm), 0.0)
    clipped = (by_unit * scale[:, None, None]).flatten(0, 1)
    return [(clipped.flatten(1).T @ x).view_as(weight).transpose(0, 1), clipped.sum(0).T]


def _gather_rows(data: Vectors, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (B, D), labels (B,) and factors of the loss (B,) of all views of the examples of L units.

    Views share the weight of their example, so that they are averaged; what fills up has the factor 0.
    """
    examples = rows.clamp(min=0).repeat_interleave(data.views, dim=1).flatten()
    view = torch.arange(data.views, device=rows.device).repeat(rows.numel())
    x = data.scaled_rows(examples * data.views + view)
    finite = x.isfinite().all(dim=1)
    there = (rows >= 0).repeat_interleave(data.views, dim=1).flatten() & finite
    weights = data.loss_weights(examples)
    factors = there / data.views if weights is None else there * weights / data.views
    return x.masked_fill_(~finite[:, None], 0.0), data.labels[examples], factors


def _squared_norms(residual: Tensor, x: Tensor) -> Tensor:
    """Return (L, H) squared norms of the gradients of units, from residuals (L, R, K, H) and features (L, R, D).

    A unit's gradient is a sum of outer products of residuals r and features (x, 1), so that its squared norm is the sum
    over pairs of rows of (r r') (x x' + 1): nothing as large as a head is made for each unit.
    """
    if residual.shape[1] == 1:
        return residual[:, 0].square().sum(1) * (x[:, 0].square().sum(1, keepdim=True) + 1)
    pairs = torch.einsum("lrkh,lskh->lrsh", residual, residual)
    return (pairs * (x @ x.mT + 1)[..., None]).sum((1, 2)).clamp(min=0)


def _member_matrix(task: Task, jobs: Sequence[Job]) -> Tensor:
    everyone = np.ones(len(task.labels), dtype=bool)
    chosen = [everyone if job.members is None else np.asarray(job.members) for job in jobs]
    return torch.from_numpy(np.stack(chosen, axis=1)).to(task.device, torch.float32)
