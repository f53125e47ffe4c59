"""Many linear heads on the same cached vectors, held as one stack and computed as one batch of matrices.

A head is by far the most common trained part, and attacks and frontiers train dozens of them. Whatever the recipe's
optimizer does to each number by itself, it does to a stack of heads as it does to one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import Head, scale_rows
from rft.features import Features
from rft.features.columns import Dense
from rft.runtime.devices.fitting_batches import FittingSize, map_batches
from rft.runtime.devices.placement import place_batch
from rft.training import Fit, Task, trained_state

ROWS_AT_ONCE, FITS_AT_ONCE = 1024, 64  # rows, and fits, that are scored at once where these are heads
ROWS_OF_NETWORK = 64  # that a whole network scores at once
MAX_NETWORK_BYTES = 2**30  # of the networks that are scored at once
SQUARED_ROWS_AT_ONCE = 65_536  # rows whose lengths are computed at once


@dataclass(frozen=True)
class Vectors:
    """The training examples as linear heads see them.

    Attributes:
        stored: (N * V, D) cached features, on the device; view v of example i is row i * V + v.
        views: V.
        row_norm: whether a head scales each row to length sqrt(D).
        labels: (N,) class indices, on the device.
        class_weights: (K,) factors of the loss by label, on the device; None: all 1.
    """

    stored: Tensor
    views: int
    row_norm: bool
    labels: Tensor
    class_weights: Tensor | None

    @property
    def dimension(self) -> int:
        """D."""
        return self.stored.shape[1]

    def loss_weights(self, rows: Tensor) -> Tensor | None:
        """Return (...) the factors of the loss of examples; None: all 1."""
        return None if self.class_weights is None else self.class_weights[self.labels[rows]]

    @cached_property
    def squared_lengths(self) -> Tensor:
        """(N * V,) squared length of (x, 1) for each stored row x, scaled as a head would."""
        parts = [
            scale_rows(part, row_norm=self.row_norm).square().sum(1) for part in self.stored.split(SQUARED_ROWS_AT_ONCE)
        ]
        return torch.cat(parts) + 1

    def scaled_rows(self, stored_rows: Tensor) -> Tensor:
        """Return (..., D) features of stored rows, scaled as a head would."""
        rows = self.stored.index_select(0, stored_rows.flatten())  # three times as quick as indexing
        return scale_rows(rows, row_norm=self.row_norm).view(*stored_rows.shape, self.dimension)


def linear_head_vectors(task: Task) -> Vectors | None:
    """Return a task's examples when all that it trains is a linear head on vectors in memory, otherwise None."""
    head = task.new_suffix(0)
    if not (_is_linear(head) and isinstance(task.features, Dense) and task.features.tensor.dim() == 2):
        return None
    if not all(parameter.requires_grad for parameter in head.parameters()):
        return None
    stored = task.features.tensor.to(task.device)
    class_weights = None if task.class_weights is None else task.class_weights.to(task.device)
    return Vectors(stored, task.features.views, head.row_norm, task.labels.to(task.device), class_weights)


def _is_linear(network: nn.Module) -> TypeGuard[Head]:
    """Return whether a network is a head and nothing made from one, which may compute anything."""
    return type(network) is Head


class Heads:
    """H heads: ``weight`` (H, K, D) and ``bias`` (H, K), each head as ``task.new_suffix`` of its seed makes it."""

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        fresh = [task.new_suffix(seed).to(task.device) for seed in seeds]
        heads = [head for head in fresh if _is_linear(head)]
        assert len(heads) == len(seeds), "vectors(task) says whether a task trains linear heads"
        self._template = heads[0]
        self.weight = nn.Parameter(torch.stack([head.linear.weight.detach() for head in heads]))
        self.bias = nn.Parameter(torch.stack([head.linear.bias.detach() for head in heads]))

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Weight and bias."""
        return [self.weight, self.bias]

    def build_network(self, number: int) -> Head:
        """Return one head as a network of its own."""
        head = copy.deepcopy(self._template)
        with torch.no_grad():
            head.linear.weight.copy_(self.weight[number])
            head.linear.bias.copy_(self.bias[number])
        return head

    def head_state(self, number: int) -> dict[str, Tensor]:
        """Return one head's state as ``trained_state`` returns it."""
        return trained_state(self.build_network(number))


def unchanged_tensors(before: Sequence[Tensor], after: Sequence[Tensor]) -> list[int]:
    """Return how many of each head's tensors, (H, ...) stacked, are what they were."""
    same = [(old == new).flatten(1).all(1) for old, new in zip(before, after, strict=True)]
    return torch.stack(same).sum(dim=0).tolist()


def softmax_residuals(logits: Tensor, labels: Tensor, dim: int) -> Tensor:
    """Return softmax minus one-hot: the gradient of each example's cross-entropy by its logits.

    Args:
        logits: any shape with classes along ``dim``.
        labels: class indices, of the same shape but 1 along ``dim``.
        dim: torch is several times quicker where this is not the last one.
    """
    return logits.softmax(dim).scatter_add_(dim, labels, logits.new_full(labels.shape, -1.0))


def shared_gradient(data: Vectors, heads: Heads, rows: Tensor, view: Tensor | None, members: Tensor) -> Tensor:
    """Set the gradient of the mean loss of every head over the rows of one batch that are its members.

    Args:
        data: the examples.
        heads: the stack.
        rows: (B,) numbers of examples.
        view: (B,) the view of each, None: the plain one.
        members: (B, H) bool; a head none of whose members is there gets the gradient zero.

    Returns:
        (H,) sum of the losses of each head over its members in the batch.
    """
    x = data.scaled_rows(rows * data.views + (0 if view is None else view))  # (B, D)
    weight = heads.weight.detach().transpose(0, 1)  # (K, H, D)
    logits = torch.addmm(heads.bias.detach().T.flatten(), x, weight.flatten(0, 1).T).view(len(rows), -1, len(heads))
    labels = data.labels[rows][:, None, None].expand(-1, 1, len(heads))
    factors = data.loss_weights(rows)
    weights = members.to(x.dtype) if factors is None else members * factors[:, None]  # (B, H)
    losses = (logits.logsumexp(1) - logits.gather(1, labels)[:, 0]) * weights
    residual = softmax_residuals(logits, labels, 1) * (weights / members.sum(0).clamp(min=1))[:, None]  # (B, K, H)
    heads.weight.grad = (residual.flatten(1).T @ x).view_as(weight).transpose(0, 1)
    heads.bias.grad = residual.sum(0).T
    return losses.sum(0)


def compute_logits(task: Task, fits: Sequence[Fit], features: Features) -> Iterator[np.ndarray]:
    """Yield (N, K) float64 logits of each fit, in eval mode, on the plain views of any features of the task's kind."""
    return _compute_scores(task, fits, features, lambda logits, _: logits)


def compute_label_confidences(
    task: Task, fits: Sequence[Fit], features: Features, labels: Tensor
) -> Iterator[np.ndarray]:
    """Yield (N,) float64 how sure each fit is of the labels of N examples, as the task's objective has it.

    Args:
        task: what was trained.
        fits: by it.
        features: of the examples, of the task's kind; their plain views are scored in eval mode.
        labels: of the examples.
    """
    score = task.objective.label_confidences
    return _compute_scores(task, fits, features, lambda logits, rows: score(logits, labels[rows]))


def _compute_scores(
    task: Task, fits: Sequence[Fit], features: Features, score: Callable[[Tensor, np.ndarray], Tensor]
) -> Iterator[np.ndarray]:
    """Yield (N, ...) what ``score`` makes of each fit's float64 logits of examples, and of their numbers."""
    first = task.new_suffix(0)
    size = FittingSize(ROWS_AT_ONCE if _is_linear(first) else ROWS_OF_NETWORK)
    together = _count_together(first)
    for start in range(0, len(fits), together):
        networks = [_load_network(task, fit) for fit in fits[start : start + together]]
        scores_by_network: list[list[Tensor]] = [[] for _ in networks]
        run_networks = partial(_run_networks, task, networks, features)
        for rows, logits in map_batches(run_networks, len(features), size):
            for collected, outputs in zip(scores_by_network, logits, strict=True):
                collected.append(score(outputs.cpu().double(), rows))
        yield from (torch.cat(parts).numpy() for parts in scores_by_network)


def _run_networks(task: Task, networks: Sequence[nn.Module], features: Features, rows: np.ndarray) -> Sequence[Tensor]:
    """Return (B, K) logits of each network for B rows."""
    return _batch_logits(networks, place_batch(features.batch(rows), task.device))


def _count_together(network: nn.Module) -> int:
    """Return how many fits are scored at once: each reads the features anew, and all of them lie on the device."""
    if _is_linear(network):
        return FITS_AT_ONCE
    held = sum(tensor.numel() * tensor.element_size() for tensor in (*network.parameters(), *network.buffers()))
    return max(1, min(FITS_AT_ONCE, MAX_NETWORK_BYTES // max(1, held)))


def _load_network(task: Task, fit: Fit) -> nn.Module:
    network = task.new_suffix(0)
    network.load_state_dict(fit.state, strict=False)
    return network.to(task.device).eval()


@torch.no_grad()
def _batch_logits(networks: Sequence[nn.Module], batch: Batch) -> Sequence[Tensor]:
    """Return (B, K) logits of each network; linear heads share what they do to the features."""
    heads = [network for network in networks if _is_linear(network)]
    if len(heads) < len(networks):
        return [network(batch) for network in networks]
    x = scale_rows(batch["features"], row_norm=heads[0].row_norm)
    weight = torch.cat([head.linear.weight for head in heads])
    bias = torch.cat([head.linear.bias for head in heads])
    logits: Sequence[Tensor] = torch.addmm(bias, x, weight.T).split(len(heads[0].linear.bias), dim=1)
    return logits
