"""Ten epochs of training behind a cut: the plain loop that runs the frozen part every time, against cached features.

    python benchmarks/cached_features.py [--images 64] [--epochs 10] [--backbone torchvision/resnet50] [--freeze all]

Prints a table and writes ``cached_features.json`` beside this file. Both sides start from random weights and train the
same part on the same images in the same process; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rft.backbones.load import load_backbone
from rft.backbones.partition.cut import cut_classifier
from rft.backbones.partition.replay import Suffix
from rft.config.schema import DataConfig, ModelConfig
from rft.data import read_dataset
from rft.data.images.inputs import ImageInputs
from rft.features import Store
from rft.features.extract import choose_precision, extract_features
from rft.records import Split
from rft.training import Job, Recipe, Task
from rft.training.loop import StandardTrainer

BATCH = 16


def main() -> None:
    """Time both ways, three times each, and report the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--backbone", default="torchvision/resnet50")
    parser.add_argument("--freeze", default="all", help="all, or the first layer that is trained")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain, cached, again = np.median([_time_once(options, Path(folder), turn) for turn in range(3)], axis=0)
    rows = {"plain loop": plain, "features and training": cached, "training again, features cached": again}
    for name, seconds in rows.items():
        print(f"{name:32} {seconds:8.2f} s   {plain / seconds:7.1f} times")
    result = {"options": vars(options), "seconds": rows, "ratio": plain / cached, "ratio_again": plain / again}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _time_once(options: argparse.Namespace, folder: Path, turn: int) -> tuple[float, float, float]:
    _write_images(folder / "photos", options.images)
    splits = read_dataset(DataConfig(folder="photos", test=0.1), folder, 0).splits
    settings = ModelConfig(backbone=options.backbone, weights="random")
    backbone = load_backbone(settings, folder, modality="image", seed=0, offline=True)
    parts = cut_classifier(backbone.classifier(2, False, 0), options.freeze, "full", backbone.example)
    inputs = ImageInputs(splits, backbone.preprocessing, 10**7)
    start = time.perf_counter()
    _train_plainly(parts.whole_suffix(0).train(), inputs, splits["train"], options.epochs)
    plain = time.perf_counter() - start
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        store, precision = Store(folder / f"cache{turn}", "benchmark"), choose_precision("auto")
        features = extract_features(parts.prefix(), inputs, splits["train"], store, device="cpu", precision=precision)
        recipe = Recipe(options.epochs, "sgd", 0.001, 0.9, 0.0, BATCH)
        labels = torch.from_numpy(splits["train"].labels)
        StandardTrainer().fit(Task(features, labels, None, parts.new_suffix, recipe), [Job(0)])
        seconds.append(time.perf_counter() - start)
    return plain, seconds[0], seconds[1]


def _train_plainly(model: Suffix, inputs: ImageInputs, split: Split, epochs: int) -> None:
    """Train as tutorials do: decode and run the whole model, batch after batch, every epoch."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
    labels = torch.from_numpy(split.labels)
    for _ in range(epochs):
        batches = torch.randperm(len(labels)).split(BATCH)
        for rows, batch in zip(batches, inputs.batches(split.items, [rows.tolist() for rows in batches]), strict=True):
            loss = torch.nn.functional.cross_entropy(model(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _write_images(folder: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(n):
        path = folder / ("a", "b")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (256, 256, 3)).astype(np.uint8)).save(path)


if __name__ == "__main__":
    main()
