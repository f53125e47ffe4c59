"""The standard loop: cross-entropy by SGD with momentum or AdamW, on cached features or, where none are, on inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rft.errors import RftError
from rft.runtime.progress import track_progress
from rft.training import Fit, Job, Task, trained_state
from rft.training.linear_heads import Heads, Vectors, linear_head_vectors, shared_gradient, unchanged_tensors
from rft.training.threads import one_thread, suitable_threads


@dataclass(frozen=True)
class StandardTrainer:
    """Trains without privacy. It has no settings of its own: the task's recipe says all."""

    needs_independent_examples = False

    def prepare(self, task: Task) -> None:
        """Do nothing: there is nothing to calibrate."""

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        """Train one suffix for each job; raises ``RftError`` when a loss is no longer finite.

        Linear heads that see different members, as the shadow models of an attack do, are trained as one stack.
        """
        data = linear_head_vectors(task) if len(jobs) > 1 and all(job.members is not None for job in jobs) else None
        if data is None:
            return [_fit_suffix(task, job) for job in jobs]
        with one_thread(task.device):  # 64 heads on 512 features: six times quicker where two cores have other work
            return _fit_stack(task, data, jobs)


def _fit_suffix(task: Task, job: Job) -> Fit:
    suffix = task.new_suffix(job.seed).to(task.device).train()
    trained = {name: parameter for name, parameter in suffix.named_parameters() if parameter.requires_grad}
    initial = {name: parameter.detach().clone() for name, parameter in trained.items()}
    optimizer = task.recipe.build_optimizer(list(trained.values()))
    members = torch.arange(len(task.labels)) if job.members is None else torch.as_tensor(job.members).nonzero()[:, 0]
    shuffling = torch.Generator().manual_seed(job.seed)
    log: list[dict[str, float]] = []
    with suitable_threads(suffix, task.device), _seeded_torch(job.seed, task.device):
        for epoch in track_progress(range(1, task.recipe.epochs + 1), "Training"):
            total = 0.0
            order = members[torch.randperm(len(members), generator=shuffling)]
            for rows in order.split(task.recipe.batch_size):
                loss = _mean_loss(suffix, task, rows, shuffling)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
            log.append({"epoch": epoch, "loss": _check_finite_loss(total / len(members), epoch)})
    unchanged = sum(torch.equal(initial[name], parameter) for name, parameter in trained.items())
    return Fit(trained_state(suffix), log, unchanged_tensors=unchanged)


def _fit_stack(task: Task, data: Vectors, jobs: Sequence[Job]) -> list[Fit]:
    """Train linear heads together. All go through the examples in one shuffled order, each past those it may not see.

    The batches are so much larger that a head sees a batch of its own size in each, on average.
    """
    heads = Heads(task, [job.seed for job in jobs])
    initial = [parameter.detach().clone() for parameter in heads.parameters]
    optimizer = task.recipe.build_optimizer(heads.parameters)
    members = torch.stack([torch.as_tensor(job.members) for job in jobs], dim=1).to(task.device)  # (N, H)
    seen = members.any(dim=1).nonzero()[:, 0].cpu()
    share = float(members.sum(dim=0).double().mean()) / len(seen)
    shuffling = torch.Generator().manual_seed(jobs[0].seed)
    log: list[np.ndarray] = []
    for epoch in track_progress(range(1, task.recipe.epochs + 1), f"Training {len(jobs)} heads"):
        total = torch.zeros(len(jobs), device=task.device)
        order = seen[torch.randperm(len(seen), generator=shuffling)]
        for rows in order.split(round(task.recipe.batch_size / share)):
            view = torch.randint(data.views, (len(rows),), generator=shuffling) if data.views > 1 else None
            rows, view = rows.to(task.device), view if view is None else view.to(task.device)
            total += shared_gradient(data, heads, rows, view, members[rows])
            optimizer.step()
        _check_finite_loss(float(total.sum()), epoch)
        log.append((total / members.sum(dim=0)).cpu().numpy())
    unchanged = unchanged_tensors(initial, heads.parameters)
    return [
        Fit(
            heads.head_state(number),
            [{"epoch": epoch, "loss": float(losses[number])} for epoch, losses in enumerate(log, start=1)],
            unchanged_tensors=unchanged[number],
        )
        for number in range(len(jobs))
    ]


def _mean_loss(suffix: nn.Module, task: Task, rows: Tensor, random: torch.Generator) -> Tensor:
    """Return the mean loss over rows, each seen in one of its views."""
    views = task.features.views
    view = torch.randint(views, (len(rows),), generator=random) if views > 1 else None
    batch = {name: column.to(task.device) for name, column in task.features.batch(rows, view).items()}
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
        return nn.functional.cross_entropy(logits.float(), labels)
    losses = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    return (losses * task.class_weights.to(task.device)[labels]).mean()


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a forward pass computes in this precision; bfloat16 needs no scaled loss."""
    return torch.autocast(device.partition(":")[0], torch.bfloat16) if precision == "bfloat16" else nullcontext()


@contextmanager
def _seeded_torch(seed: int, device: str) -> Iterator[None]:
    """Let dropout depend on the job's seed alone, and leave the global random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def _check_finite_loss(loss: float, epoch: int) -> float:
    if not torch.isfinite(torch.tensor(loss)):
        raise RftError(
            f"the training loss is {loss} in epoch {epoch}",
            where="train.learning_rate",
            remedy="Lower train.learning_rate, or set model.row_norm = true.",
        )
    return loss
