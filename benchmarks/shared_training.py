"""Training in two processes of one thread each, against one process of two threads: the same steps on the same cores.

    python benchmarks/shared_training.py [--rounds 5] [--examples 64] [--ways layers adapters]

Prints a table and writes ``shared_training.json`` beside this file. Torchrun starts both processes, as for audits.
In each round the first one trains alone while the other sleeps, and then both train; what counts is the median over
the rounds of the time of one over that of both in the same round, since other work on the machine slows down either.
The network is a ViT-Tiny of random weights at 224 x 224 px: its last two blocks on 197 x 192 cached features, or
adapters everywhere on images. Private training, with 20 steps, has its self-test in the time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from rft.backbones.load import LoadedBackbone, load_backbone
from rft.backbones.partition.cut import Cut, Tune, cut_classifier
from rft.backbones.partition.lora import add_adapters
from rft.config.schema import ModelConfig
from rft.pipeline.environment import describe_environment
from rft.plugins.privacy.training.gradients.engine_stepper import HeldBatch
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.ranks.group import count_cores, join_ranks
from rft.runtime.ranks.place import read_rank_place
from rft.training import Job, Recipe, Task, Trainer
from rft.training.loop import StandardTrainer
from rft.training.sharing import ALONE, TrainingShare

BACKBONE, CLASSES, BATCH = "timm/vit_tiny_patch16_224", 2, 16
WAYS = ("layers", "layers, private", "adapters", "adapters, private")
RECIPE = Recipe(2, "sgd", 0.01, 0.9, 0.0, BATCH)
PRIVATE = DPTrainer(epsilon=8.0, steps=20, charged=False)


def main() -> None:
    """Start two processes that time each way of training, and report medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        _time_as_rank(options)
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
    torchrun = [sys.executable, "-m", "rft.cli.torchrun", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, __file__, "--rank", *sys.argv[1:]], check=True)


def _time_as_rank(options: argparse.Namespace) -> None:
    keep_freed_memory()
    with join_ranks(read_rank_place(os.environ)) as ranks:
        assert ranks is not None
        shared = TrainingShare(ranks)
        seconds: dict[str, list[dict[str, float]]] = {}
        for name in options.ways:
            train = partial(_train, *_build_way(name, options.examples))
            seconds[name] = [_time_both(train, shared) for _ in range(options.rounds + 1)][1:]  # the first warms up
        ranks.part()
    if not shared.leads:
        return
    spread = {name: _spread([turn["one"] / turn["two"] for turn in turns]) for name, turns in seconds.items()}
    result = {
        "options": {"rounds": options.rounds, "examples": options.examples},
        "cores": count_cores(),
        "load at the end": os.getloadavg()[0],
        "environment": describe_environment("cpu", ["timm", "peft", "opacus"]).model_dump(mode="json"),
        "seconds": seconds,
        "times faster, least, median and most": spread,
    }
    for name, (least, median, most) in spread.items():
        print(f"{name}: {median:.2f} times as fast in two processes ({least:.2f} to {most:.2f})")
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), float(np.median(values)), max(values)


def _time_both(train: Callable[[TrainingShare], None], shared: TrainingShare) -> dict[str, float]:
    """Return the seconds of one process with all cores, and of both with one each; 0 in a process that waited."""
    assert shared.ranks is not None
    seconds = {"one": 0.0}
    shared.ranks.wait_for_all()
    if shared.leads:
        seconds["one"] = _time_call(partial(train, ALONE), count_cores())
    shared.ranks.wait_for_all()
    seconds["two"] = _time_call(partial(train, shared), max(1, count_cores() // 2))
    return seconds


def _time_call(call: Callable[[], None], threads: int) -> float:
    torch.set_num_threads(threads)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _train(task: Task, trainer: Trainer, share: TrainingShare) -> None:
    trainer.fit(task, [Job(0, share=share)])


def _build_way(name: str, examples: int) -> tuple[Task, Trainer]:
    random = torch.Generator().manual_seed(0)
    if name.startswith("layers"):
        cut = _cut_backbone("blocks.10", "full")
        columns = {"features": torch.randn(examples, 197, 192, generator=random)}
    else:
        cut = _cut_backbone("none", "lora")
        columns = {"pixels": torch.rand(examples, 3, 224, 224, generator=random)}
    return _build_task(cut, columns), PRIVATE if name.endswith("private") else StandardTrainer()


def _cut_backbone(freeze: str, tune: Tune) -> Cut:
    config = ModelConfig(backbone=BACKBONE, weights="random", freeze=freeze, tune=tune)
    backbone: LoadedBackbone = load_backbone(config, Path(), modality="image", seed=0, offline=True)
    classifier = backbone.classifier(CLASSES, False, 0)
    if tune == "lora":
        add_adapters(classifier, config.lora, None, 0)
    return cut_classifier(classifier, config.frozen, config.tune, backbone.example)


def _build_task(cut: Cut, columns: dict[str, torch.Tensor]) -> Task:
    labels = torch.arange(len(next(iter(columns.values())))) % CLASSES
    return Task(HeldBatch(columns, 1), labels, None, cut.new_suffix, RECIPE)


if __name__ == "__main__":
    main()
