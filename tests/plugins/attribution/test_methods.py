"""GradCAM and integrated gradients against closed forms and naive float64 versions."""

from __future__ import annotations

import copy

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from rft.errors import Unavailable
from rft.plugins.attribution.images.explained import BLUR, Explained, blur_images
from rft.plugins.attribution.images.map_layer import FromMap, _list_map_layers, find_map_layer
from rft.plugins.attribution.images.methods import (
    MOST_PIXELS,
    PATCHES,
    GradCam,
    IntegratedGradients,
    Maps,
    PatchAblation,
    _sum_blocks,
    explain_images,
)
from rft.plugins.attribution.network import FromPixels, Network
from rft.plugins.attribution.path import MAP_TOLERANCE, Path
from tests.support.attribution_cases import (
    SIDE,
    Convolutional,
    Frozen,
    Linear,
    Region,
    explain_pixels,
    noise,
    whole_batch,
)


def explain_model(model: nn.Module, pixels: Tensor) -> tuple[Network, Explained]:
    network = Network(model, "cpu")
    return network, explain_pixels(network, pixels)


def integrated_gradients(network: Network, explained: Explained, *, max_steps: int) -> Maps:
    return explain_images(IntegratedGradients(max_steps), network, explained)


def gradcam_maps(network: Network, explained: Explained) -> Maps:
    batch = whole_batch(explained)
    layer = find_map_layer(network, torch.cat([batch.pixels, batch.baselines]))
    return explain_images(GradCam(layer), network, explained)


def naive_integrated_gradients(model: nn.Module, explained: Explained, steps: int) -> np.ndarray:
    """Sum gradients at the middle of equal steps, in float64, one image and one step at a time."""
    exact = copy.deepcopy(model).double()
    maps = []
    for pixels, baseline, target in zip(*whole_batch(explained), strict=True):
        image, start = pixels.double(), baseline.double()
        total = torch.zeros_like(image)
        for step in range(steps):
            point = (start + (step + 0.5) / steps * (image - start)).requires_grad_()
            total += torch.autograd.grad(exact.classify(point[None])[0, target], point)[0]
        maps.append(((image - start) * total / steps).sum(dim=0).numpy())
    return np.stack(maps)


def test_integrated_gradients_of_a_linear_model_are_weight_times_difference() -> None:
    model = Linear()
    network, explained = explain_model(model, noise(5))
    maps = integrated_gradients(network, explained, max_steps=16)
    weights, batch = model.linear.weight[explained.target].reshape(-1, 3, SIDE, SIDE), whole_batch(explained)
    expected = (weights * (batch.pixels - batch.baselines)).sum(dim=1).numpy()
    np.testing.assert_allclose(maps.values, expected, atol=1e-6)
    assert maps.completeness is not None
    assert all(found.steps == 12 and not found.unsettled for found in maps.completeness)
    assert all(found.error is not None and found.error < 1e-3 for found in maps.completeness)


def test_integrated_gradients_match_a_naive_riemann_sum() -> None:
    model = Convolutional(smooth=True)
    network, explained = explain_model(model, noise(3))
    maps = integrated_gradients(network, explained, max_steps=64)
    expected = naive_integrated_gradients(model, explained, steps=400)
    assert np.abs(maps.values - expected).max() < 1e-3 * np.abs(expected).max()


class Kinked(Frozen):
    """Rises steeply within a short stretch of the path, which a few equal steps miss."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        contrast = (pixels - pixels.mean(dim=(2, 3), keepdim=True)).pow(2).mean(dim=(1, 2, 3))
        rise = 5 * torch.sigmoid((contrast - 0.01) * 4000) + contrast
        return torch.stack([torch.full_like(rise, -1.0), rise], dim=1)


def test_steps_are_doubled_until_the_map_has_converged() -> None:
    network, explained = explain_model(Kinked(), noise(4))
    few = integrated_gradients(network, explained, max_steps=16)
    many = integrated_gradients(network, explained, max_steps=2000)
    assert few.completeness is not None
    assert many.completeness is not None
    assert all(estimate.steps == 12 for estimate in few.completeness)
    assert max(estimate.error or 0.0 for estimate in few.completeness) > 0.5  # said, not hidden
    assert all(not estimate.unsettled and 28 <= estimate.steps <= 2000 for estimate in many.completeness)
    expected = naive_integrated_gradients(network.model, explained, steps=2000)
    assert np.abs(many.values - expected).sum() <= MAP_TOLERANCE * np.abs(expected).sum()


def test_the_map_is_that_of_captum_with_the_same_quadrature() -> None:
    network, explained = explain_model(Convolutional(), noise(3))
    maps, batch = integrated_gradients(network, explained, max_steps=16), whole_batch(explained)
    expected = captum.attr.IntegratedGradients(FromPixels(network)).attribute(
        batch.pixels, batch.baselines, target=batch.target, n_steps=8, method="gausslegendre"
    )
    np.testing.assert_allclose(maps.values, expected.detach().sum(dim=1).numpy(), atol=1e-6)


class Waves(Frozen):
    """Goes up in the first half of the path and down in the second: both can be overstated, and the sum be right."""

    def __init__(self) -> None:
        super().__init__()
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        brightness = pixels.mean(dim=(1, 2, 3))
        wave = 1 - torch.cos(2 * torch.pi * brightness) + 0.1 * brightness
        return torch.stack([-wave, wave], dim=1)


def test_errors_of_opposite_sign_do_not_cancel() -> None:
    path = Path(FromPixels(Network(Waves(), "cpu")), torch.zeros(3, 4, 4), torch.ones(3, 4, 4), target=1, axis=0)
    quadrature = path._integrate_with(2)
    assert quadrature.gains.sum() == pytest.approx(0.1, abs=1e-5)  # complete, as the sum has it
    rise = np.pi * np.sin(np.pi * (1 - 1 / np.sqrt(3)))  # of the first half by its step; it is 2
    # Of what goes up and down in between, 2 + 2, the net change of 0.1 would be no measure.
    assert path._error_along(quadrature) == pytest.approx(2 * (rise - 2) / 4, rel=2e-2)


def test_the_reported_error_and_change_are_those_of_the_returned_map() -> None:
    model = Kinked()
    network, explained = explain_model(model, noise(2))
    maps = integrated_gradients(network, explained, max_steps=16)  # 4 steps, then 8
    nodes, weights = np.polynomial.legendre.leggauss(8)
    exact, batch = copy.deepcopy(model).double(), whole_batch(explained)
    assert maps.completeness is not None
    for row, completeness in enumerate(maps.completeness):
        image, start = batch.pixels[row].double(), batch.baselines[row].double()
        borders, off, target = np.concatenate([[0], weights.cumsum() / 2]), 0.0, int(explained.target[row])
        changes = 0.0
        for node, weight, low, high in zip(nodes, weights, borders[:-1], borders[1:], strict=True):
            point = (start + (node + 1) / 2 * (image - start)).requires_grad_()
            slope = torch.autograd.grad(exact.classify(point[None])[0, target], point)[0]
            ends = exact.classify(torch.stack([start + at * (image - start) for at in (low, high)]))[:, target]
            off += abs(float((slope * (image - start)).sum() * weight / 2 - (ends[1] - ends[0])))
            changes += abs(float(ends[1] - ends[0]))
        assert completeness.error == pytest.approx(off / changes, rel=0.05, abs=1e-4)
        assert completeness.map_change is not None


def test_no_completeness_error_where_nothing_changes() -> None:
    pixels = torch.full((2, 3, SIDE, SIDE), 0.5)  # blurring changes nothing
    network, explained = explain_model(Convolutional(), pixels)
    maps = integrated_gradients(network, explained, max_steps=256)
    assert maps.completeness is not None
    assert [(found.error, found.map_change, found.steps) for found in maps.completeness] == [(None, None, 12)] * 2


def test_gradcam_matches_autograd_and_the_closed_form() -> None:
    model = Convolutional()
    network, explained = explain_model(model, noise(11))  # more than one chunk
    maps = gradcam_maps(network, explained)
    activation = model.body(whole_batch(explained).pixels).double().requires_grad_()
    logits = activation.mean(dim=(2, 3)) @ model.linear.weight.double().T + model.linear.bias.double()
    chosen = logits.gather(1, explained.target[:, None]).sum()
    slope = torch.autograd.grad(chosen, activation)[0].mean(dim=(2, 3), keepdim=True)
    naive = (slope * activation).sum(dim=1).detach().numpy()
    np.testing.assert_allclose(maps.values, naive, atol=1e-6)
    weights = model.linear.weight[explained.target].double()[:, :, None, None]
    closed = ((weights * activation).sum(dim=1) / activation[0, 0].numel()).detach().numpy()
    np.testing.assert_allclose(maps.values, closed, atol=1e-6)
    assert maps.completeness is None


class InPlace(Convolutional):
    """Overwrites its last map, as DenseNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(12)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(nn.functional.relu(self.norm(self.body(pixels)), inplace=True).mean(dim=(2, 3)))


def test_gradcam_of_a_frozen_model_survives_an_in_place_relu() -> None:
    model = InPlace()
    network, explained = explain_model(model, noise(3))
    activation = model.norm(model.body(whole_batch(explained).pixels)).relu()
    active = (activation > 0).float().mean(dim=(2, 3), keepdim=True)  # a cell at 0 has no gradient
    weights = model.linear.weight[explained.target][:, :, None, None] * active
    closed = (weights * activation).sum(dim=1) / activation[0, 0].numel()
    np.testing.assert_allclose(gradcam_maps(network, explained).values, closed.numpy(), atol=1e-6)


class Tokens(Convolutional):
    """Ends in a sequence of tokens, as a vision transformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten(2)

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(self.flat(self.body(pixels)).mean(dim=2))


class ChannelsLast(Convolutional):
    """Ends in a (B, h, w, C) map, as some Swin transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Identity()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(self.last(self.body(pixels).permute(0, 2, 3, 1)).mean(dim=(1, 2)))


def test_gradcam_of_a_map_with_the_channels_last_is_that_of_the_same_map() -> None:
    expected = gradcam_maps(*explain_model(Convolutional(), noise(3)))
    maps = gradcam_maps(*explain_model(ChannelsLast().eval(), noise(3)))
    assert (expected.layer, maps.layer) == ("body", "last")
    np.testing.assert_allclose(maps.values, expected.values, atol=1e-7)


class Masked(Convolutional):
    """Weighs its map by a mask that is computed last: a map of the mask is not what it decides by."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Conv2d(12, 1, 1)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        maps = self.body(pixels)
        return self.linear((maps * self.mask(maps).sigmoid()).mean(dim=(2, 3)))


def test_a_mask_that_runs_last_is_passed_over() -> None:
    model = Masked()
    network, explained = explain_model(model, noise(4))
    assert [layer.name for layer in _list_map_layers(network, whole_batch(explained).pixels)][-2:] == ["body", "mask"]
    maps = gradcam_maps(network, explained)
    assert maps.layer == "body"
    activation = model.body(whole_batch(explained).pixels).requires_grad_()
    logits = model.linear((activation * model.mask(activation).sigmoid()).mean(dim=(2, 3)))
    slope = torch.autograd.grad(logits.gather(1, explained.target[:, None]).sum(), activation)[0]
    expected = (slope.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1)
    np.testing.assert_allclose(maps.values, expected.detach().numpy(), atol=1e-6)


class Branches(Frozen):
    """Decides by two branches, neither of which has it all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, 2, padding=1), nn.Conv2d(3, 6, 3, 2, padding=1)
        self.linear = nn.Linear(12, 2)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        maps = torch.cat([self.first(pixels).relu(), self.second(pixels).relu()], dim=1)
        return self.linear(maps.mean(dim=(2, 3)))


class SideBranch(Convolutional):
    """Runs a branch whose output it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Conv2d(12, 3, 1)

    def classify(self, pixels: Tensor) -> Tensor:
        maps = self.body(pixels)
        self.side(maps)
        return self.linear(maps.mean(dim=(2, 3)))


class OneReLU(Frozen):
    """Uses one module for maps and for vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.bend = nn.Conv2d(3, 6, 3, 2, padding=1), nn.ReLU()
        self.middle, self.linear = nn.Linear(6, 8), nn.Linear(8, 2)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(self.bend(self.middle(self.bend(self.convolution(pixels)).mean(dim=(2, 3)))))


class Library(Frozen):
    """A network of a library, as it is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.network(pixels)


def test_no_map_is_shown_where_the_prediction_goes_past_it() -> None:
    with pytest.raises(Unavailable, match="does not go through one map: at second, and the 1 layers before it"):
        gradcam_maps(*explain_model(Branches(), noise(3)))


@pytest.mark.parametrize(("model", "layer"), [(SideBranch, "body"), (OneReLU, "convolution")])
def test_a_layer_that_is_used_once_and_by_all_is_found(model: type[nn.Module], layer: str) -> None:
    maps = gradcam_maps(*explain_model(model().eval(), noise(3)))
    assert maps.layer == layer
    assert np.isfinite(maps.values).all()


@pytest.mark.parametrize(
    ("name", "layer"),
    [("swin_tiny_patch4_window7_224", "norm"), ("mambaout_femto", "stages"), ("resnet18", "layer4")],
)
def test_families_have_a_map_with_the_channels_first(name: str, layer: str) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model(name, depths=(1, 1, 1, 1), num_classes=2) if "resnet" not in name else None
    model = Library(network or timm.create_model(name, num_classes=2))
    pixels = noise(3, side=224) * torch.tensor([1.0, 0.3, 0.0])[:, None, None, None]
    where = find_map_layer(Network(model, "cpu"), pixels)
    assert where.name == f"network.{layer}"
    channels, height, width = FromMap(Network(model, "cpu"), where, pixels).read_maps().shape[1:]
    assert height == width == 7
    assert channels > 7


@pytest.mark.parametrize("model", [Tokens, Linear])
def test_gradcam_needs_a_spatial_map(model: type[nn.Module]) -> None:
    with pytest.raises(Unavailable, match="this backbone has no spatial map"):
        gradcam_maps(*explain_model(model().eval(), noise(2)))


def test_a_layer_is_not_taken_on_trust_where_images_cannot_tell() -> None:
    with pytest.raises(Unavailable, match="nearly the same logits"):
        gradcam_maps(*explain_model(Convolutional(), torch.full((2, 3, SIDE, SIDE), 0.5)))


def test_maps_that_are_zero_or_not_finite_are_caught() -> None:
    values = np.ones((4, 2, 2), dtype=np.float32)
    values[1] = 0
    values[2, 0, 0] = np.nan
    values[3, 1, 1] = np.inf
    assert Maps("gradcam", values).sound.tolist() == [True, False, False, False]
    assert Maps("integrated_gradients", -values[:1]).sound.tolist() == [False]  # nothing speaks for the class


class Broken(Region):
    """Gives NaN for bright images."""

    def classify(self, pixels: Tensor) -> Tensor:
        return super().classify(pixels) * torch.where(pixels.mean(dim=(1, 2, 3)) > 0.6, torch.nan, 1.0)[:, None]


def test_a_network_that_gives_nan_gives_unsound_maps_and_no_completeness() -> None:
    pixels = noise(3)
    pixels[1] = 0.5 + pixels[1] / 2
    maps = integrated_gradients(*explain_model(Broken([0, 0, 1, 1]), pixels), max_steps=32)
    assert maps.completeness is not None
    assert maps.sound.tolist() == [True, False, True]
    assert [error.error is None for error in maps.completeness] == [False, True, False]


def test_training_mode_is_refused_even_in_one_module() -> None:
    model = Convolutional()
    model.body[1].train()  # a BatchNorm alone
    with pytest.raises(Unavailable, match="training mode"):
        Network(model, "cpu")


def test_baselines_of_the_same_class_are_counted() -> None:
    pixels = noise(6)
    network = Network(Region([0, 0, 1, 1]), "cpu")
    blurred = explain_pixels(network, pixels)
    assert blurred.same_class.all()  # a blur keeps the mean colour, by which it decides
    red = torch.zeros(3, SIDE, SIDE)
    red[0] = 1
    mean = explain_pixels(network, pixels, red)
    assert torch.equal(whole_batch(mean).baselines[4], red)
    assert mean.same_class.tolist() == (mean.target == 1).tolist()
    assert not mean.same_class.all()


def test_the_baseline_is_a_gaussian_blur() -> None:
    pixels = noise(2, side=40)
    sigma = BLUR * 40
    radius = int(np.ceil(3 * sigma))
    expected = gaussian_blur(pixels, [2 * radius + 1] * 2, [sigma] * 2)
    torch.testing.assert_close(blur_images(pixels), expected, atol=1e-5, rtol=0)


def test_weights_are_what_speaks_for_the_class_and_sum_to_one() -> None:
    maps = Maps("integrated_gradients", np.array([[[1.0, -3.0], [0.0, 0.0]]], dtype=np.float32))
    np.testing.assert_allclose(maps.weights((2, 2), np.array([0])), [[[1, 0], [0, 0]]])
    np.testing.assert_allclose(maps.enlarge((2, 2), np.array([0])), maps.values)
    assert maps.weights((8, 6), np.array([0])).shape == (1, 8, 6)


def test_a_large_map_is_kept_as_sums_of_blocks() -> None:
    values = np.random.default_rng(0).normal(size=(2 * MOST_PIXELS + 1, MOST_PIXELS)).astype(np.float32)
    kept = _sum_blocks(values)
    assert kept.shape == (75, MOST_PIXELS)  # of three rows each, since of two there would be 113
    assert kept[4, 7] == pytest.approx(values[12:15, 7].sum(), abs=1e-5)
    assert kept.sum() == pytest.approx(values.sum(), abs=1e-2)


def test_patch_ablation_is_the_margin_that_is_lost_without_a_patch() -> None:
    model = Region([0, 0, 0.5, 0.5])
    network, explained = explain_model(model, noise(3, side=2 * PATCHES))
    maps, exact = explain_images(PatchAblation(), network, explained), copy.deepcopy(model).double()

    def margin(pixels: Tensor, target: int) -> float:
        logits = exact.classify(pixels[None].double())[0]
        return float(logits[target] - logits[1 - target])

    assert maps.values.shape == (3, PATCHES, PATCHES)
    for image, target, values in zip(
        whole_batch(explained).pixels, explained.target.tolist(), maps.values, strict=True
    ):
        for row, column in ((0, 0), (2, 3), (6, 6)):
            filled = image.clone()
            filled[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = image.mean(dim=(1, 2))[:, None, None]
            assert values[row, column] == pytest.approx(margin(image, target) - margin(filled, target), abs=1e-5)
    assert not maps.values[:, 4:].any()  # it sees nothing there
