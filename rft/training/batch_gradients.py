"""The gradient of the loss of a batch: in parts where memory runs out, or each process its part of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rft.errors import RftError
from rft.runtime.devices.fitting_batches import FittingSize, release_device_memory
from rft.runtime.devices.placement import place_batch
from rft.runtime.ranks.waiting import loss_as_error
from rft.training import Task
from rft.training.sharing import TrainingShare


class BatchGradients:
    """Sets the gradients of a network by batches of a task.

    Args:
        suffix: what is trained, in training mode and on its device.
        task: what is trained on.
        share: this process's part of each batch.
    """

    def __init__(self, suffix: nn.Module, task: Task, share: TrainingShare) -> None:
        self._suffix, self._task, self._share = suffix, task, share
        self._connected = share.connect_network(suffix)
        self._size = FittingSize(task.recipe.batch_size)

    def set_gradient(self, rows: Tensor, view: Tensor | None) -> Tensor:
        """Set the gradient of the mean loss over (B,) rows, and return what this process adds to that loss.

        The loss stays on the device. Where memory runs out the batch is run in parts: their gradients add up to that of
        the whole, unless a BatchNorm makes examples depend on each other. A batch that processes share is run in as
        many parts as there are processes, and in no more: none may repeat what the others wait for.
        """
        if self._share.size > 1:
            return self._add_shared_gradient(rows, view)
        while True:
            self._suffix.zero_grad()
            tried = min(self._size.rows, len(rows))
            try:
                return self._add_gradients(rows, view, tried)
            except (RuntimeError, MemoryError) as error:
                if mixes_examples(self._suffix) or not self._size.halve_after(error, tried):
                    raise
            release_device_memory()

    def _add_gradients(self, rows: Tensor, view: Tensor | None, at_once: int) -> Tensor:
        parts = []
        for place in torch.arange(len(rows)).split(at_once):
            loss = _mean_loss(self._suffix, self._task, rows[place], None if view is None else view[place])
            loss = loss if len(place) == len(rows) else loss * (len(place) / len(rows))
            loss.backward()
            parts.append(loss.detach())
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum()

    def _add_shared_gradient(self, rows: Tensor, view: Tensor | None) -> Tensor:
        """Run this process's rows; one without any runs a row of another's for nothing, since all wait for each other.

        What comes back from a backward pass is the mean over processes, so that each takes its loss as many times.
        """
        place = torch.arange(len(rows))[self._share.slice_rows(len(rows))]
        part = len(place) / len(rows)
        place = place if len(place) else torch.zeros(1, dtype=torch.int64)
        self._suffix.zero_grad()
        loss = _mean_loss(self._connected, self._task, rows[place], None if view is None else view[place]) * part
        with loss_as_error():
            (loss * self._share.size + self._sum_of_nothing()).backward()
        return loss.detach()

    def _sum_of_nothing(self) -> Tensor:
        """Return 0, of which each trained tensor is a part: one that chance left out (LayerDrop) is waited for too."""
        trained = [parameter for parameter in self._suffix.parameters() if parameter.requires_grad]
        return torch.stack([parameter.flatten()[:0].sum().float() for parameter in trained]).sum()


def mixes_examples(suffix: nn.Module) -> bool:
    """Return whether a BatchNorm in training mode makes the examples of a batch depend on each other."""
    return any(isinstance(module, _BatchNorm) and module.training for module in suffix.modules())


def _mean_loss(suffix: nn.Module, task: Task, rows: Tensor, view: Tensor | None) -> Tensor:
    """Return the mean loss over rows, each seen in one of its views."""
    batch = place_batch(task.features.batch(rows, view), task.device)
    try:
        with autocast(task.device, task.precision):
            logits = suffix(batch)
    except ValueError as error:
        if len(rows) > 1:
            raise
        raise RftError(
            f"a batch of one example is too small: {str(error).splitlines()[0]}",
            where="train.batch_size",
            remedy="Choose another batch size: this one leaves a single example over.",
        ) from error
    labels = task.labels[rows].to(task.device)
    if task.class_weights is None:
        return task.objective.mean_loss(logits.float(), labels)
    losses = task.objective.example_losses(logits.float(), labels)
    return (losses * task.class_weights.to(task.device)[labels]).mean()


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a forward pass computes in this precision; bfloat16 needs no scaled loss."""
    return torch.autocast(device.partition(":")[0], torch.bfloat16) if precision == "bfloat16" else nullcontext()
