"""The standard loop: cross-entropy on cached features, by SGD with momentum or AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rft.errors import RftError
from rft.progress import track
from rft.training import Facts, Fit, Job, Task
from rft.training.threads import one_thread


@dataclass(frozen=True)
class StandardTrainer:
    """Trains without privacy. It has no settings of its own: the task's recipe says all."""

    def prepare(self, task: Task) -> Facts:
        """Return ``{"mode": "standard"}``: there is nothing to calibrate."""
        return {"mode": "standard"}

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        """Train one suffix for each job, one after another; raises ``RftError`` when a loss is no longer finite."""
        with one_thread(task.device):
            return [_fit(task, job) for job in jobs]


def _fit(task: Task, job: Job) -> Fit:
    suffix = task.new_suffix(job.seed).to(task.device).train()
    initial = {name: tensor.clone() for name, tensor in suffix.state_dict().items()}
    optimizer = task.recipe.build([parameter for parameter in suffix.parameters() if parameter.requires_grad])
    members = torch.arange(len(task.labels)) if job.members is None else torch.as_tensor(job.members).nonzero()[:, 0]
    shuffling = torch.Generator().manual_seed(job.seed)
    log: list[dict[str, float]] = []
    for epoch in track(range(1, task.recipe.epochs + 1), "Training"):
        total = 0.0
        for rows in members[torch.randperm(len(members), generator=shuffling)].split(task.recipe.batch_size):
            batch = {name: column.to(task.device) for name, column in task.features.batch(rows).items()}
            loss = torch.nn.functional.cross_entropy(suffix(batch), task.labels[rows].to(task.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        log.append({"epoch": epoch, "loss": _finite(total / len(members), epoch)})
    state = {name: tensor.detach().cpu().clone() for name, tensor in suffix.state_dict().items()}
    return Fit(state, log, {"mode": "standard", "unmoved": _unmoved(initial, state)})


def _finite(loss: float, epoch: int) -> float:
    if not torch.isfinite(torch.tensor(loss)):
        raise RftError(
            f"the training loss is {loss} in epoch {epoch}",
            where="train.learning_rate",
            remedy="Lower train.learning_rate, or set model.row_norm = true.",
        )
    return loss


def _unmoved(before: dict[str, Tensor], after: dict[str, Tensor]) -> int:
    """Count the tensors that training left as they were: such a head trains nothing, whatever its loss says."""
    return sum(torch.equal(before[name].cpu(), after[name]) for name in before)
