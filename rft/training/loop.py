"""The standard loop: the task's loss by SGD with momentum or AdamW, on cached features or, without these, on inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rft.config.tables.train import TrainConfig
from rft.errors import RftError
from rft.features import Features
from rft.features.columns import keep_on_device
from rft.runtime.devices.fitting_batches import FittingSize, map_batches
from rft.runtime.devices.placement import place_batch
from rft.runtime.devices.random_state import seeded_torch
from rft.runtime.progress import track_progress
from rft.training import EarlyStopping, Fit, Job, Recipe, Task, Workload, trained_state
from rft.training.batch_gradients import BatchGradients, autocast
from rft.training.default_recipes import choose_standard_recipe
from rft.training.linear_heads import Heads, Vectors, linear_head_vectors, shared_gradient, unchanged_tensors
from rft.training.sharing import TrainingShare
from rft.training.threads import one_thread, suitable_threads

VALIDATION_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class StandardTrainer:
    """Trains without privacy. It has no settings of its own: the task's recipe says all."""

    needs_independent_examples = False

    def choose_recipe(self, asked: TrainConfig, workload: Workload) -> Recipe:
        """Return the recipe; what is left open suits a head, or the layers, that are trained without privacy."""
        return choose_standard_recipe(asked, workload)

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
    task = replace(task, features=keep_on_device(task.features, task.device))
    share, suffix = job.share, task.new_suffix(job.seed).to(task.device).train()
    trained = {name: parameter for name, parameter in suffix.named_parameters() if parameter.requires_grad}
    initial = {name: parameter.detach().clone() for name, parameter in trained.items()}
    optimizer = task.recipe.build_optimizer(list(trained.values()))
    members = torch.arange(len(task.labels)) if job.members is None else torch.as_tensor(job.members).nonzero()[:, 0]
    scheduler = task.recipe.build_scheduler(optimizer, task.recipe.count_steps(len(members)))
    shuffling = torch.Generator().manual_seed(job.seed)
    log: list[dict[str, float]] = []
    best, gradients = _BestEpoch(), BatchGradients(suffix, task, share)
    share.check_same_start(task, list(trained.values()))
    with suitable_threads(suffix, task.device), seeded_torch(share.spread_seed(job.seed), task.device):
        for epoch in track_progress(range(1, task.recipe.taken_epochs + 1), "Training"):
            losses: list[Tensor] = []
            batches = members[torch.randperm(len(members), generator=shuffling)].split(task.recipe.batch_size)
            for rows in batches:
                losses.append(gradients.set_gradient(rows, _draw_views(task, len(rows), shuffling)))
                optimizer.step()
                scheduler.step()
            total = share.sum_number(_sum_losses(losses, batches))
            log.append({"epoch": epoch, "loss": _check_finite_loss(total / len(members), epoch)})
            if task.early_stopping is not None:
                log[-1]["validation_loss"] = _validation_loss(suffix, task, task.early_stopping, share)
                if best.is_over(suffix, log[-1], task.early_stopping.patience):
                    break
    share.check_same_result(list(trained.values()))
    if best.epoch is not None:
        suffix.load_state_dict(best.state, strict=False)
    unchanged = sum(torch.equal(initial[name], parameter) for name, parameter in trained.items())
    return Fit(trained_state(suffix), log, unchanged_tensors=unchanged, kept_epoch=best.epoch)


@dataclass
class _BestEpoch:
    """The epoch with the lowest loss on validation so far, and what was trained by its end."""

    epoch: int | None = None
    loss: float = math.inf
    state: dict[str, Tensor] = field(default_factory=dict)

    def is_over(self, suffix: nn.Module, row: Mapping[str, float], patience: int) -> bool:
        """Take note of the epoch of this row of the log; return whether training ends with it."""
        if row["validation_loss"] < self.loss:
            self.epoch, self.loss, self.state = int(row["epoch"]), row["validation_loss"], trained_state(suffix)
        return self.epoch is not None and row["epoch"] - self.epoch >= patience


@torch.no_grad()
def _validation_loss(suffix: nn.Module, task: Task, by: EarlyStopping, share: TrainingShare) -> float:
    """Return the mean loss over the validation examples, in eval mode, with the class weights of training."""
    suffix.eval()
    total, chosen = 0.0, np.arange(len(by.labels))[share.slice_rows(len(by.labels))]
    size = FittingSize(VALIDATION_ROWS_AT_ONCE)
    predict = partial(_predict_rows, suffix, task, by.features, chosen)
    for places, logits in map_batches(predict, len(chosen), size) if len(chosen) else ():
        labels = by.labels[chosen[places]]
        losses = task.objective.example_losses(logits.float().cpu(), labels)
        total += float((losses if task.class_weights is None else losses * task.class_weights[labels]).sum())
    suffix.train()
    return share.sum_number(total) / len(by.labels)


def _predict_rows(suffix: nn.Module, task: Task, features: Features, chosen: np.ndarray, places: np.ndarray) -> Tensor:
    """Return (B, K) logits of rows, at these places among the chosen ones, of any features of the task's kind."""
    with autocast(task.device, task.precision):
        logits: Tensor = suffix(place_batch(features.batch(chosen[places]), task.device))
    return logits


def _fit_stack(task: Task, data: Vectors, jobs: Sequence[Job]) -> list[Fit]:
    """Train linear heads together. All go through the examples in one shuffled order, each past those it may not see.

    The batches are so much larger that a head sees a batch of its own size in each, on average.
    """
    heads = Heads(task, [job.seed for job in jobs])
    initial = [parameter.detach().clone() for parameter in heads.parameters]
    optimizer = task.recipe.build_optimizer(heads.parameters)
    members = torch.stack([torch.as_tensor(job.members) for job in jobs], dim=1).to(task.device)  # (N, H)
    seen = members.any(dim=1).nonzero()[:, 0].cpu()
    share = float(members.sum(dim=0).cpu().double().mean()) / len(seen)
    batch_size = round(task.recipe.batch_size / share)
    scheduler = task.recipe.build_scheduler(optimizer, task.recipe.epochs * -(-len(seen) // batch_size))
    shuffling = torch.Generator().manual_seed(jobs[0].seed)
    log: list[np.ndarray] = []
    for epoch in track_progress(range(1, task.recipe.taken_epochs + 1), f"Training {len(jobs)} heads"):
        total = torch.zeros(len(jobs), device=task.device)
        order = seen[torch.randperm(len(seen), generator=shuffling)]
        for rows in order.split(batch_size):
            view = torch.randint(data.views, (len(rows),), generator=shuffling) if data.views > 1 else None
            rows, view = rows.to(task.device), view if view is None else view.to(task.device)
            total += shared_gradient(data, heads, rows, view, members[rows])
            optimizer.step()
            scheduler.step()
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


def _draw_views(task: Task, count: int, random: torch.Generator) -> Tensor | None:
    """Return (B,) the view that each row of a batch is seen in; None where there is but one."""
    views = task.features.views
    return torch.randint(views, (count,), generator=random) if views > 1 else None


def _sum_losses(losses: list[Tensor], batches: Sequence[Tensor]) -> float:
    """Return the sum over all rows, from the mean loss of each batch; the device is asked once, not in every step."""
    means: list[float] = torch.stack(losses).cpu().double().tolist()
    return sum(mean * len(rows) for mean, rows in zip(means, batches, strict=True))


def _check_finite_loss(loss: float, epoch: int) -> float:
    if not torch.isfinite(torch.tensor(loss)):
        raise RftError(
            f"the training loss is {loss} in epoch {epoch}",
            where="train.learning_rate",
            remedy="Lower train.learning_rate, or set model.row_norm = true.",
        )
    return loss
