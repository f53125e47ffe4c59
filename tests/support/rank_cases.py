"""Processes that share a training, started without torchrun, and the trainings that they share in tests."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from opacus.distributed import DifferentiallyPrivateDistributedDataParallel
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DistributedDPOptimizer
from torch import Tensor, nn

from rft.features import Dense
from rft.plugins.privacy.training.settings import DPSettings
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.runtime.ranks.group import join_ranks
from rft.runtime.ranks.place import RankPlace
from rft.training import EarlyStopping, Fit, Job, Recipe, Task
from rft.training.loop import StandardTrainer
from rft.training.sharing import TrainingShare
from tests.support import step_cases
from tests.support.privacy_cases import OnFeatures, seeded

Work = Callable[[TrainingShare, Path], object]
EXAMPLES, DIMENSION, CLASSES = 48, 8, 3
RECIPE = Recipe(epochs=3, optimizer="adamw", learning_rate=0.01, momentum=0.9, weight_decay=0.01, batch_size=7)
SECONDS = 120.0  # until processes that import torch have ended


def run_ranks(size: int, work: Work, folder: Path) -> list[int]:
    """Run work in so many processes that are connected, each with its share; return their exit codes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    spawned = multiprocessing.get_context("spawn")
    processes = [
        spawned.Process(target=_join_and_work, args=(RankPlace(rank, size, rank, size), port, work, folder))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
        process.kill()
        process.join()
    return [process.exitcode if process.exitcode is not None else -1 for process in processes]


def _join_and_work(place: RankPlace, port: int, work: Work, folder: Path) -> None:
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(place.rank), "WORLD_SIZE": str(place.size)}
    with join_ranks(place) as ranks:
        result = work(TrainingShare(ranks), folder)
        torch.save(result, folder / f"{place.rank}.pt")
        assert ranks is not None
        ranks.part()


def build_layers() -> nn.Module:
    """Return two layers with a norm between them."""
    return OnFeatures(nn.Linear(DIMENSION, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, CLASSES))


def suffix_task(**changes: Any) -> Task:
    """Return a task that trains some layers on vectors in two views."""
    random = torch.Generator().manual_seed(1)
    features = Dense(torch.randn(2 * EXAMPLES, DIMENSION, generator=random), 2)
    labels = (torch.arange(EXAMPLES) * 7) % CLASSES
    return replace(Task(features, labels, None, seeded(build_layers), RECIPE), **changes)


def train_plain(share: TrainingShare, **changes: Any) -> Fit:
    """Train without privacy: by default 21 steps of batches that two processes cannot halve."""
    task = suffix_task(recipe=replace(RECIPE, **changes))
    return StandardTrainer().fit(task, [Job(3, share=share)])[0]


def train_until_validation_is_best(share: TrainingShare) -> Fit:
    """Train with class weights and early stopping, on fewer validation examples than there may be processes."""
    validation = Dense(torch.randn(2, DIMENSION, generator=torch.Generator().manual_seed(5)))
    stopping = EarlyStopping(validation, torch.tensor([0, 1]), 1)
    recipe = replace(RECIPE, epochs=30, learning_rate=0.1)
    task = suffix_task(early_stopping=stopping, class_weights=torch.tensor([1.0, 2.0, 0.5]), recipe=recipe)
    return StandardTrainer().fit(task, [Job(3, share=share)])[0]


def private_trainer(**changes: Any) -> DPTrainer:
    """Return a trainer whose samples and noise repeat, of 20 steps with a fixed noise."""
    settings: dict[str, Any] = {"steps": 20, "sample_rate": 0.1, "randomness": "seeded", "charged": False}
    return DPTrainer(**vars(DPSettings(epsilon=8.0)) | settings | changes)


def train_privately(share: TrainingShare, **changes: Any) -> Fit:
    """Train with clipping and noise; some samples are smaller than there are processes."""
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=0.1)
    return private_trainer(**changes).fit(suffix_task(recipe=recipe), [Job(3, share=share)])[0]


def train_each_way(share: TrainingShare, _: Path) -> dict[str, Any]:
    """Return what each way of training gives, as plain values."""
    fits = {
        "plain": train_plain(share),
        "one in a batch": train_plain(share, batch_size=1, epochs=1),
        "stopped": train_until_validation_is_best(share),
        "private": train_privately(share),
        "private by unit": private_trainer().fit(
            suffix_task(units=(torch.arange(EXAMPLES) // 3).numpy().astype(str)), [Job(3, share=share)]
        )[0],
    }
    described = {name: describe_fit(fit) for name, fit in fits.items()}
    return described if share.size == 1 else described | step_as_opacus(share)


def step_as_opacus(share: TrainingShare) -> dict[str, dict[str, Tensor]]:
    """Return the weights after a step without noise, by Opacus' distributed optimizer and by ours, on one sample."""
    rows, norm = torch.tensor([1, 4, 5, 9, 20, 30, 41]), 0.5
    random = torch.Generator().manual_seed(2)
    task = suffix_task(features=Dense(torch.randn(EXAMPLES, DIMENSION, generator=random)))
    theirs = task.new_suffix(3)
    model = GradSampleModule(DifferentiallyPrivateDistributedDataParallel(theirs), loss_reduction="sum")
    optimizer = DistributedDPOptimizer(
        torch.optim.SGD(theirs.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=norm,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    chosen = rows[share.slice_rows(len(rows))]
    nn.functional.cross_entropy(model(task.features.batch(chosen)), task.labels[chosen], reduction="sum").backward()
    optimizer.step()
    plans = step_cases.plans(task, norm=norm)
    ours = step_cases.stepper("network", task, plans, [Job(3, share=share)])
    ours.with_gaussian(step_cases.silent_noise(plans[0])).set_gradient(step_cases.sample(rows.tolist()))
    torch.optim.SGD(ours.parameters, lr=plans[0].divisor).step()
    return {"Opacus": dict(theirs.state_dict()), "ours": ours.trained_states()[0]}


def describe_fit(fit: Fit) -> dict[str, Any]:
    """Return a fit as what torch loads without pickled classes."""
    told = {"state": fit.state, "log": fit.log, "kept_epoch": fit.kept_epoch, "unchanged": fit.unchanged_tensors}
    if fit.privacy is not None:
        facts = fit.privacy
        told |= {"epsilon": facts.epsilon, "noise_multiplier": facts.noise_multiplier, "steps": facts.steps}
    return told
