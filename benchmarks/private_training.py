"""What private training of a linear head costs: against plain training, against Opacus, and for many heads at once.

    python benchmarks/private_training.py [--steps 200] [--rounds 7] [--epochs 30]

Prints a table and writes ``private_training.json`` beside this file. All ways train the same head on the same 10,000
vectors of 512 numbers with batches of 256 (in expectation, where batches are sampled). They take turns in one process,
and what counts is the median over the turns of each way's time over that of another in the same turn. Seconds are of
the processor; where a ledger waits for the disk, seconds on the wall are given as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from rft.backbones.classifier import new_head
from rft.features import Dense
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.training.gradients.head_stepper import HeadStepper
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.randomness import Randomness, SecretSource, random_streams
from rft.plugins.privacy.training.stepper import StepCounters, build_head_stepper, private_step
from rft.plugins.privacy.training.trainer import DPTrainer, fit_together
from rft.training import Job, Population, Recipe, Task
from rft.training.linear_heads import linear_head_vectors, softmax_residuals

N, DIMENSION, CLASSES, BATCH = 10_000, 512, 10, 256
RATE, NOISE = BATCH / N, 1.0
RECIPE = Recipe(1, "sgd", 0.1, 0.9, 0.0, BATCH)
FRONTIER, REPLICATES = (0.5, 1.0, 2.0, 4.0, 8.0), 3

Way = Callable[[int], None]  # takes so many steps


def main() -> None:
    """Time all ways in turn and report medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    task = _random_task()
    ways: dict[str, Way] = {
        "plain": _plain_loop(task),
        "closed form, no privacy": partial(_without_privacy, _seeded_stepper(task, "seeded")),
        "closed form, seeded noise": partial(_step_privately, _seeded_stepper(task, "seeded")),
        "Opacus hooks": _opacus_loop(task),
        "closed form, secret noise": partial(_step_privately, _seeded_stepper(task, "secret")),
    }
    result = {"options": vars(options), "machine": _describe_machine(), "milliseconds a step": _in_turn(ways, options)}
    result |= _compare_times(result["milliseconds a step"])
    result["milliseconds for 10,000 secret normals"] = _time_noise()
    with tempfile.TemporaryDirectory() as folder:
        result["a whole fit"] = _time_whole_fits(task, options.epochs, Path(folder), min(3, options.rounds))
    result["15 heads"] = _time_frontier(task, options.epochs)
    text = json.dumps(result, indent=1)
    print(text)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def _random_task() -> Task:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(N, DIMENSION, generator=random)
    labels = torch.randint(0, CLASSES, (N,), generator=random)
    return Task(Dense(features), labels, None, partial(new_head, DIMENSION, CLASSES, False), RECIPE)


def _plain_loop(task: Task) -> Way:
    """Return the loop that everybody writes: ``nn.Linear``, autograd, SGD, shuffled batches."""
    head = nn.Linear(DIMENSION, CLASSES)
    optimizer, features = RECIPE.build_optimizer(list(head.parameters())), task.features.tensor

    def take_steps(steps: int) -> None:
        done = 0
        while done < steps:
            for rows in torch.randperm(N).split(BATCH)[: steps - done]:
                loss = nn.functional.cross_entropy(head(features[rows]), task.labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                done += 1

    return take_steps


def _step_plan() -> MechanismParameters:
    return MechanismParameters(8.0, 1e-5, False, Mechanism(NOISE, RATE, 1), 1.0, BATCH, N, "example", 1, "seeded")


def _seeded_stepper(task: Task, randomness: Randomness) -> HeadStepper:
    vectors = linear_head_vectors(task)
    assert vectors is not None
    return build_head_stepper(task, vectors, np.arange(N), [Job(0)], [_step_plan()], random_streams(randomness, 0))


def _step_privately(steps: HeadStepper, count: int) -> None:
    optimizer, counters = RECIPE.build_optimizer(steps.parameters), StepCounters.start_at_zero(1)
    for _ in range(count):
        private_step(steps, optimizer, steps.draw_sample(), counters)


def _without_privacy(steps: HeadStepper, count: int) -> None:
    """Take the same steps on the same samples, with nothing clipped and no noise."""
    optimizer, (weight, bias) = RECIPE.build_optimizer(steps.parameters), steps.parameters
    for _ in range(count):
        rows = steps.examples.gather_rows(steps.draw_sample())
        logits = torch.baddbmm(bias.detach()[:, :, None], weight.detach(), rows.x.mT)
        residual = softmax_residuals(logits, rows.labels[:, None], 1) * rows.weights[:, None]
        weight.grad, bias.grad = (residual @ rows.x).div_(BATCH), residual.sum(2).div_(BATCH)
        optimizer.step()


def _opacus_loop(task: Task) -> Way:
    """Return Opacus' hooks on the same kind of samples, with its own noise."""
    head = nn.Linear(DIMENSION, CLASSES)
    model = GradSampleModule(head, loss_reduction="sum")
    plain = RECIPE.build_optimizer(list(head.parameters()))
    optimizer = DPOptimizer(plain, noise_multiplier=NOISE, max_grad_norm=1.0, expected_batch_size=BATCH)
    sampler, features = _seeded_stepper(task, "seeded").sampler, task.features.tensor

    def take_steps(steps: int) -> None:
        for _ in range(steps):
            rows = torch.from_numpy(sampler.draw_sample().units[0])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(features[rows]), task.labels[rows], reduction="sum").backward()
            optimizer.step()

    return take_steps


def _in_turn(ways: dict[str, Way], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the milliseconds a step of each way in each round."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(20)
    for _ in range(options.rounds):
        for name, way in ways.items():
            start = time.process_time()
            way(options.steps)
            times[name].append(1e3 * (time.process_time() - start) / options.steps)
    return times


def _compare_times(times: dict[str, list[float]]) -> dict[str, object]:
    def median_ratio(slower: str, faster: str) -> float:
        return float(np.median(np.array(times[slower]) / np.array(times[faster])))

    private, free = "closed form, seeded noise", "closed form, no privacy"
    return {
        "median milliseconds a step": {name: float(np.median(milliseconds)) for name, milliseconds in times.items()},
        "ratios": {
            "with privacy over the same without, seeded": median_ratio(private, free),
            "with privacy over plain, seeded": median_ratio(private, "plain"),
            "Opacus over ours, seeded": median_ratio("Opacus hooks", private),
            "Opacus over ours, secret": median_ratio("Opacus hooks", "closed form, secret noise"),
            "with privacy over plain, secret": median_ratio("closed form, secret noise", "plain"),
        },
    }


def _time_noise() -> float:
    source, times = SecretSource(), []
    for _ in range(200):
        start = time.process_time()
        source.draw_normals(10_000)
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times))


def _time_whole_fits(task: Task, epochs: int, folder: Path, rounds: int) -> dict[str, object]:
    """Time fits from the self-test to the report's facts, without and with a ledger, against the plain loop."""
    steps = round(epochs / RATE)
    trainer, unit_ids = DPTrainer(8.0, steps=steps, noise_multiplier=NOISE), np.arange(N).astype(str)
    measured: dict[str, list[tuple[float, float]]] = {"plain": [], "private": [], "private, with a ledger": []}
    for turn in range(rounds):
        recorded = replace(task, population=Population("people", unit_ids, folder))
        runs: dict[str, Callable[[], object]] = {
            "plain": partial(_plain_loop(task), steps),
            "private": partial(trainer.fit, task, [Job(0)]),
            "private, with a ledger": partial(replace(trainer, ledger=f"ledger{turn}").fit, recorded, [Job(0)]),
        }
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            measured[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = ({name: [pair[kind] for pair in pairs] for name, pairs in measured.items()} for kind in (0, 1))
    return {
        "steps": steps,
        "median processor seconds": {name: float(np.median(seconds)) for name, seconds in cpu.items()},
        "median wall seconds": {name: float(np.median(seconds)) for name, seconds in wall.items()},
        "with a ledger over plain, processor": _median_ratio(cpu),
        "with a ledger over plain, wall": _median_ratio(wall),
    }


def _median_ratio(times: dict[str, list[float]]) -> float:
    return float(np.median(np.array(times["private, with a ledger"]) / np.array(times["plain"])))


def _time_frontier(task: Task, epochs: int) -> dict[str, object]:
    """Time a frontier: 15 heads, each with a sample and noise of its own."""
    recipe = replace(RECIPE, epochs=epochs)
    trainers = [DPTrainer(epsilon) for epsilon in FRONTIER for _ in range(REPLICATES)]
    start, cpu = time.perf_counter(), time.process_time()
    trainers = [replace(trainer, noise_multiplier=_calibrate_noise(trainer, task, recipe)) for trainer in trainers]
    calibrated = time.perf_counter()
    training = time.process_time()
    fit_together(trainers, replace(task, recipe=recipe), [Job(seed) for seed in range(len(trainers))])
    return {
        "epochs": epochs,
        "wall seconds of training": time.perf_counter() - calibrated,
        "processor seconds of training": time.process_time() - training,
        "wall seconds of calibration before": calibrated - start,
        "processor seconds of calibration before": training - cpu,
    }


def _calibrate_noise(trainer: DPTrainer, task: Task, recipe: Recipe) -> float:
    return trainer.prepare(replace(task, recipe=recipe)).noise_multiplier


def _describe_machine() -> dict[str, object]:
    load = os.getloadavg()[0]
    return {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": round(load, 1)}


if __name__ == "__main__":
    main()
