"""Every supported family: loaded from disk, cut, and trained from the cache as in a plain loop over the whole model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.backbones.classifier import hash_tensors
from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import cut_classifier
from rft.data.audio.inputs import pad_recordings
from tests.support import families
from tests.support.plain_loops import CLASSES, PlainLoop, train_from_cache
from tests.support.speech_families import SPEECH, as_recording, some_clips

# Seconds each; others have the same kinds of layers.
SLOW = ("densenet121", "efficientnet_b0", "timm/lite0", "timm/resnet", "timm/mobilenet", "timm/convnext")
FAMILIES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in families.FAMILIES]
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in families.LARGE_IMAGES]
ALL = families.FAMILIES | families.LARGE_IMAGES | SPEECH


@dataclass(frozen=True)
class Case:
    """A family, loaded, with the items that it is tried on: texts, clips, or one tensor of pixels each."""

    name: str
    backbone: LoadedBackbone
    items: list
    expected: list[Tensor] | None

    def batch(self, rows: Sequence[int]) -> Batch:
        chosen = [self.items[row] for row in rows]
        preprocessing: Any = self.backbone.preprocessing
        if self.backbone.modality == "audio":
            return pad_recordings([preprocessing(as_recording(clip)) for clip in chosen])
        return preprocessing(chosen) if self.backbone.modality == "text" else {"pixels": torch.stack(chosen)}

    @property
    def family(self) -> families.Family:
        return ALL[self.name]


@pytest.fixture(autouse=True)
def _one_order_of_summation() -> Iterator[None]:
    """Use one thread: with more, random MobileNets carry rounding errors of 1e-5 through twenty steps to 1e-4."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_items(loaded: LoadedBackbone) -> list:
    if loaded.input_shape is not None:
        return families.some_images(12, loaded.input_shape[1])
    return some_clips(12) if loaded.modality == "audio" else families.some_texts(12)


@pytest.fixture(scope="module", params=[*FAMILIES, *LARGE, *SPEECH])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name = request.param
    folder = tmp_path_factory.mktemp("family")
    loaded = ALL[name].load(folder)
    items = make_items(loaded)
    features = ALL[name].features
    few = items[:4]
    with torch.no_grad():
        expected = features and [features(folder, item[None] if isinstance(item, Tensor) else item) for item in few]
    for file in folder.rglob("*"):  # nothing may be read from it any more
        if file.is_file():
            file.unlink()
    return Case(name, loaded, items, expected)


def test_features_are_those_of_the_librarys_own_model(case: Case) -> None:
    with torch.no_grad():
        features = case.backbone.backbone(case.batch(range(4)))
    assert features.shape == (4, case.backbone.dimension)
    assert features.std(dim=0).mean() > 1e-3  # so that equality says something
    if case.expected is not None:
        scale = features.abs().max()
        assert torch.allclose(features, torch.cat(case.expected), atol=5e-5 * float(scale))


def test_from_the_cache_and_in_a_plain_loop_the_losses_are_the_same(case: Case) -> None:
    classifier = case.backbone.classifier(CLASSES, False, 0)
    loaded = hash_tensors(classifier.state_dict())
    partition = cut_classifier(classifier, case.family.layer, "full", case.backbone.example)
    plain = PlainLoop(classifier, case.family.behind)
    assert partition.trained == plain.names
    expected = plain.train(case.batch, len(case.items))
    losses, joined = train_from_cache(partition, case.batch, len(case.items))
    gaps = [abs(first - second) for first, second in zip(losses, expected, strict=True)]
    assert max(gaps) <= 1e-4
    before, reference, frozen, moved = (
        classifier.state_dict(),
        plain.model.state_dict(),
        partition.frozen_tensors(),
        0.0,
    )
    for name, tensor in joined.state_dict().items():
        if name in frozen:
            assert torch.equal(tensor, before[name])
            assert torch.equal(reference[name], tensor)
        else:  # what was trained, and statistics of BatchNorms behind the cut
            gap = (tensor - reference[name]).abs().max() / reference[name].abs().max().clamp(min=1)
            assert gap < 1e-3, name
            moved = max(moved, float((tensor - before[name]).abs().max()))
    assert moved > 1e-3
    assert hash_tensors(classifier.state_dict()) == loaded


def test_from_the_cache_any_batch_gives_the_models_own_logits(case: Case) -> None:
    classifier = case.backbone.classifier(CLASSES, False, 0)
    partition = cut_classifier(classifier, case.family.layer, "full", case.backbone.example)
    prefix, suffix = partition.prefix(), partition.new_suffix(0)
    batches = [case.batch([0]), case.batch([2, 3]), case.batch(range(7))]
    if case.backbone.modality == "text":  # no padding at all, one letter, and more than the model takes
        assert batches[1]["attention_mask"].all()
        batches += [case.backbone.preprocessing(["a"]), case.backbone.preprocessing(["a", "b " * 500])]
        assert batches[-1]["input_ids"].shape == (2, families.POSITIONS)
    with torch.no_grad():
        for batch in batches:
            expected = classifier(batch)
            assert torch.allclose(suffix(prefix(batch)), expected, atol=1e-5 * float(expected.abs().max()))
