"""From items on disk to a trained model: the cache and the loop of rft, against a plain loop over the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import Cut, cut_classifier
from rft.config.schema import DataConfig
from rft.data import read_dataset
from rft.features import Dense, Features, Lazy, Sharded, Store
from rft.features.extract import extract_features, store_key
from rft.records import Split
from rft.training import Fit, Job, Recipe, Task
from rft.training.loop import StandardTrainer
from tests.conftest import write_images
from tests.support import families
from tests.support.plain_loops import CLASSES, SEED, PlainLoop

RECIPE = Recipe(epochs=4, optimizer="sgd", learning_rate=0.002, momentum=0.9, weight_decay=0.01, batch_size=6)


def image_split(folder: Path) -> Split:
    write_images(folder)
    config = DataConfig(manifest="images.csv", image="file", label="colour", split="split")
    return read_dataset(config, folder, 0).splits["train"]


def text_split(count: int = 17) -> Split:
    items = families.some_texts(count)
    digests = np.array([f"{number:064x}" for number in range(count)], object)
    return Split("train", np.arange(count).astype(str), items, np.arange(count) % CLASSES, digests=digests)


def by_rft(partition: Cut, features: Features, split: Split) -> Fit:
    task = Task(features, torch.from_numpy(split.labels), None, partition.new_suffix, RECIPE)
    (fit,) = StandardTrainer().fit(task, [Job(SEED)])
    return fit


def by_hand(plain: PlainLoop, inputs: Any, split: Split, views: int = 1) -> list[float]:
    """Train on the items themselves, read anew for every batch, and return the mean loss of each epoch."""
    labels, random, losses = torch.from_numpy(split.labels), torch.Generator().manual_seed(SEED), []
    parameters = [parameter for parameter in plain.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.002, momentum=0.9, weight_decay=0.01)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for _ in range(RECIPE.epochs):
            total = 0.0
            for rows in torch.randperm(len(split), generator=random).split(RECIPE.batch_size):
                drawn = [torch.randint(views, (len(rows),), generator=random)] if views > 1 else []
                logits = plain.model(inputs.batch("train", rows.numpy(), *drawn))
                loss = nn.functional.cross_entropy(logits, labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
            losses.append(total / len(split))
    return losses


def check(partition: Cut, fit: Fit, plain: PlainLoop, expected: list[float]) -> None:
    losses = [row["loss"] for row in fit.log]
    assert max(abs(first - second) for first, second in zip(losses, expected, strict=True)) <= 1e-4
    assert fit.unchanged_tensors == 0
    model, reference = partition.join(fit.state).state_dict(), plain.model.state_dict()
    for name, tensor in model.items():
        assert relative_gap(tensor, reference[name]) < 1e-3, name
    assert plain.names == partition.trained


def relative_gap(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / second.abs().max().clamp(min=1))


def stored(partition: Cut, loaded: LoadedBackbone, inputs: Any, split: Split, folder: Path, views: int = 1) -> Features:
    prefix = partition.prefix()
    store = Store(folder, store_key(prefix.tensors(), loaded.identity.model_dump(mode="json"), "float32"))
    return extract_features(prefix, inputs, split, store, device="cpu", precision="float32", views=views)


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize(
    ("family", "layer", "behind"),
    [
        ("vgg", "features.7", families.IMAGES["vgg"].behind),  # BatchNorm and dropout
        ("timm/vit", "blocks.2", families.IMAGES["timm/vit"].behind),
        ("vgg", "all", ()),
    ],
)
def test_images_and_cached_views_of_them(
    tmp_path: Path, family: str, layer: str, behind: tuple[str, ...], views: int
) -> None:
    split, loaded = image_split(tmp_path / "data"), families.IMAGES[family].load(tmp_path)
    inputs = loaded.preprocessing.inputs({"train": split}, DataConfig(folder="x"), seed=9)
    classifier = loaded.classifier(CLASSES, False, 0)
    partition, plain = cut_classifier(classifier, layer, "full", loaded.example), PlainLoop(classifier, behind)
    features = stored(partition, loaded, inputs, split, tmp_path / "store", views)
    assert isinstance(features, Dense)
    assert (len(features), features.views) == (len(split), views)
    with torch.no_grad():  # read back from the disk, they are what the frozen part gives
        plain_views = partition.prefix()(inputs.batch("train", range(len(split))))["features"]
    assert relative_gap(features.batch(range(len(split)))["features"], plain_views) < 1e-5
    check(partition, by_rft(partition, features, split), plain, by_hand(plain, inputs, split, views))


@pytest.mark.parametrize("family", ["bert", "albert", "gpt2"])
@pytest.mark.parametrize("layer", ["", "all"])
def test_texts_of_different_lengths(tmp_path: Path, family: str, layer: str) -> None:
    known = families.TEXTS[family]
    split, loaded = text_split(), known.load(tmp_path)
    inputs = loaded.preprocessing.inputs({"train": split}, DataConfig(folder="x"), seed=9)
    classifier = loaded.classifier(CLASSES, False, 0)
    partition = cut_classifier(classifier, layer or known.layer, "full", loaded.example)
    plain = PlainLoop(classifier, () if layer else known.behind)
    features = stored(partition, loaded, inputs, split, tmp_path / "store")
    assert isinstance(features, Dense if layer else Sharded)
    check(partition, by_rft(partition, features, split), plain, by_hand(plain, inputs, split))


@pytest.mark.parametrize("views", [1, 3])
def test_without_a_cut_the_whole_model_is_trained_and_nothing_is_cached(tmp_path: Path, views: int) -> None:
    split, loaded = image_split(tmp_path / "data"), families.IMAGES["vgg"].load(tmp_path)
    inputs = loaded.preprocessing.inputs({"train": split}, DataConfig(folder="x"), seed=9)
    classifier = loaded.classifier(CLASSES, False, 0)
    partition, plain = cut_classifier(classifier, "none", "full", loaded.example), PlainLoop(classifier, ("",))
    assert not partition.cached
    features = Lazy(inputs, "train", len(split), views)
    check(partition, by_rft(partition, features, split), plain, by_hand(plain, inputs, split, views))


def test_what_is_cached_at_one_layer_is_not_taken_for_another(tmp_path: Path) -> None:
    split, loaded = text_split(), families.TEXTS["bert"].load(tmp_path)
    inputs = loaded.preprocessing.inputs({"train": split}, DataConfig(folder="x"), seed=9)
    features = []
    for layer in ("encoder.layer.1", "encoder.layer.2", "encoder.layer.1"):
        partition = cut_classifier(loaded.classifier(CLASSES, False, 0), layer, "full", loaded.example)
        features.append(stored(partition, loaded, inputs, split, tmp_path / "store").batch([0, 1])["features"])
    assert not torch.allclose(features[0], features[1], atol=1e-3)
    assert torch.equal(features[0], features[2])
