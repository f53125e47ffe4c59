"""Class activation maps in closed form, against naive float64 sums, and where they must not be made."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rft.backbones.classifier import Head
from rft.errors import Unavailable
from rft.plugins.attribution import SECOND_OPINION_STEPS, SECOND_OPINIONS, AttributionOptions
from rft.plugins.attribution.images.class_activation import ClassActivation, PooledHead
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.map_layer import find_map_layer
from rft.plugins.attribution.images.suited_methods import Attributed, attribute_images
from rft.plugins.attribution.network import Network
from tests.support.attribution_cases import Convolutional, Frozen, Linear, explain_pixels, noise, whole_batch


class ScalesRows(Convolutional):
    """Has the head that ``rft`` trains: features are scaled to one length."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Head(12, 3, row_norm=True)
        with torch.no_grad():
            self.head.linear.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.head({"features": self.body(pixels).mean(dim=(2, 3))})


class Bent(Convolutional):
    """Has a hidden layer between the pooled map and the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(12, 12)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(self.hidden(self.body(pixels).mean(dim=(2, 3))).tanh())


class Flat(Convolutional):
    """Is linear in the last map, and not in its mean: each place has weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.everywhere = nn.Linear(12 * 64, 2)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.everywhere(self.body(pixels).flatten(1))


def fit_method(model: Frozen, pixels: Tensor) -> tuple[Network, Explained, ClassActivation]:
    network = Network(model, "cpu")
    explained = explain_pixels(network, pixels)
    return network, explained, ClassActivation.fit(network, find_map_layer(network, pixels), pixels)


def test_a_map_is_the_naive_sum_over_channels() -> None:
    model = Convolutional()
    network, explained, method = fit_method(model, noise(5))
    maps, exact = method.map_images(network, whole_batch(explained)), copy.deepcopy(model).double()
    activation = exact.body(noise(5).double())
    for row, target in enumerate(explained.target.tolist()):
        naive = np.zeros(activation.shape[2:])
        for channel, weight in enumerate(exact.linear.weight[target].tolist()):
            naive += weight * activation[row, channel].numpy() / naive.size
        np.testing.assert_allclose(maps[row], naive, atol=1e-6)


def test_with_rows_scaled_to_one_length_each_cell_is_divided_by_the_length_of_the_mean() -> None:
    model = ScalesRows()
    network, explained, method = fit_method(model, noise(5))
    maps, exact = method.map_images(network, whole_batch(explained)), copy.deepcopy(model).double()
    assert method.head.scales
    activation = exact.body(noise(5).double())
    for row, target in enumerate(explained.target.tolist()):
        length = activation[row].mean(dim=(1, 2)).norm() / 12**0.5
        naive = torch.einsum("c,chw->hw", exact.head.linear.weight[target], activation[row]) / length / 64
        np.testing.assert_allclose(maps[row], naive.numpy(), atol=2e-5)


@pytest.mark.parametrize("model", [Convolutional(), ScalesRows()])
def test_a_map_sums_to_the_logit_without_the_bias(model: Convolutional) -> None:
    network, explained, method = fit_method(model, noise(6))
    bias = (model.head if isinstance(model, ScalesRows) else model).linear.bias
    logits = network.logits({"pixels": noise(6)}).gather(1, explained.target[:, None])[:, 0]
    maps = method.map_images(network, whole_batch(explained))
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), logits - bias[explained.target], atol=1e-5)
    assert (maps < 0).any()  # evidence against the class keeps its sign
    np.testing.assert_allclose(method.head.bias, bias, atol=1e-5)


@pytest.mark.parametrize("model", [Bent(), Flat()])
def test_another_head_is_told_by_its_answers(model: Convolutional) -> None:
    with pytest.raises(Unavailable, match=r"what follows the map at body.* is not linear in its mean"):
        fit_method(model, noise(6))


def test_a_map_that_does_not_sum_to_the_logit_is_refused() -> None:
    network, explained, method = fit_method(Convolutional(), noise(4))
    head = method.head
    wrong = ClassActivation(method.layer, PooledHead(head.weights * 1.01, head.bias, scales=False))
    with pytest.raises(Unavailable, match="do not sum to the logits"):
        wrong.map_images(network, whole_batch(explained))


def attribute(model: Frozen, **options: object) -> tuple[dict[str, Attributed], dict[str, str]]:
    network = Network(model, "cpu")
    asked = AttributionOptions.model_validate(options)
    explained = explain_pixels(network, noise(8))
    attributed, reasons = attribute_images(network, explained, asked, np.random.default_rng(0))
    return {group.method.name: group for group in attributed}, reasons


@pytest.mark.parametrize(
    ("model", "chosen", "refused"),
    [
        (Convolutional(), "class_activation", {}),
        (ScalesRows(), "class_activation", {}),
        (Bent(), "gradcam", {"class_activation": "not linear in its mean"}),
        (
            Linear(),
            "patch_ablation",
            {"class_activation": "this backbone has no spatial map", "gradcam": "this backbone has no spatial map"},
        ),
    ],
)
def test_the_method_is_chosen_by_what_is_measured(model: Frozen, chosen: str, refused: dict[str, str]) -> None:
    attributed, reasons = attribute(model)
    assert list(attributed) == [chosen, "integrated_gradients"]
    assert attributed[chosen].places.tolist() == list(range(8))
    assert len(attributed["integrated_gradients"].places) == SECOND_OPINIONS
    assert reasons.keys() == refused.keys()
    assert all(reason in reasons[method] for method, reason in refused.items())


def test_named_methods_explain_all_images_or_say_why_not() -> None:
    attributed, reasons = attribute(Bent(), methods=["integrated_gradients", "class_activation", "patch_ablation"])
    assert {name: len(group.places) for name, group in attributed.items()} == {
        "integrated_gradients": 8,
        "patch_ablation": 8,
    }
    assert "not linear in its mean" in reasons["class_activation"]


def test_a_second_opinion_spends_few_gradients_unless_more_are_asked_for() -> None:
    for asked, most in (({}, SECOND_OPINION_STEPS), ({"max_steps": 500}, 500)):
        attributed, _ = attribute(Convolutional(), **asked)
        completeness = attributed["integrated_gradients"].maps.completeness
        assert completeness is not None
        assert all(example.steps <= most for example in completeness)


class Wavy(Frozen):
    """Turns round so often between an image and its baseline that few steps say nothing of the way."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        score = torch.sin(5000 * pixels).mean(dim=(1, 2, 3))
        return torch.stack([-score, score], dim=1)


def test_a_second_opinion_that_does_not_converge_is_none_and_one_that_is_named_says_so() -> None:
    attributed, reasons = attribute(Wavy())
    assert list(attributed) == ["patch_ablation"]
    assert reasons["integrated_gradients"].startswith("after 252 gradients of an image its map still changes by ")
    named, _ = attribute(Wavy(), methods=["integrated_gradients"])
    completeness = named["integrated_gradients"].maps.completeness
    assert completeness is not None
    assert all(example.unsettled for example in completeness)
