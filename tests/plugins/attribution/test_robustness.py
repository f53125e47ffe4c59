"""Maps beside those of random networks, of noisy images and of contrast; and the quality of maps by group."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from rft.disclosure.withheld import Withheld
from rft.errors import Unavailable
from rft.plugins.attribution.images.class_activation import ClassActivation
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.faithfulness import pool_positive
from rft.plugins.attribution.images.map_layer import find_map_layer
from rft.plugins.attribution.images.methods import Maps, explain_images
from rft.plugins.attribution.images.quality import measure_quality
from rft.plugins.attribution.images.robustness import (
    compare_with_contrast,
    compare_with_noise,
    compare_with_random_networks,
    correlate_ranks,
)
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.interventions import NOISE
from rft.plugins.attribution.modality_words import IMAGES
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.quality import findings as quality_findings
from rft.plugins.attribution.quality.deletion import Faithfulness
from rft.plugins.attribution.quality.gaps import MIN_PER_GROUP
from rft.plugins.attribution.quality.measures import AttributionQuality, tabulate_quality
from rft.plugins.attribution.quality.random_networks import randomize_network
from rft.stats.intervals import mean_interval
from tests.support.attribution_cases import Convolutional, Frozen, Region, explain_pixels, noise, whole_batch

WORDS = IMAGES["blur"]


def attribute(n: int = 6) -> tuple[Network, Explained, ClassActivation, Maps]:
    network = Network(Convolutional(), "cpu")
    explained = explain_pixels(network, noise(n))
    method = ClassActivation.fit(network, find_map_layer(network, noise(n)), noise(n))
    return network, explained, method, explain_images(method, network, explained)


def test_the_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 6, 4)).round(1)  # with ties
    expected = [spearmanr(one.ravel(), other.ravel()).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlate_ranks(first, second), expected, atol=1e-12)


def test_maps_are_compared_over_the_coarser_grid_and_are_undefined_where_they_say_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 4))
    values[1], values[2, 0, 0] = 1.0, np.nan
    found = correlate_ranks(values, values.repeat(2, axis=1).repeat(2, axis=2))
    assert found[0] == pytest.approx(1)
    assert np.isnan(found[1:]).all()


def test_a_random_network_has_the_same_weights_in_another_order_and_the_audited_one_is_as_it_was() -> None:
    network = Network(Convolutional(), "cpu")
    before = copy.deepcopy(network.model.state_dict())
    other = randomize_network(network, {"pixels": noise(6)}, np.random.default_rng(0))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.model.state_dict().items())
    for name, parameter in network.model.named_parameters():
        shuffled = dict(other.model.named_parameters())[name]
        assert torch.equal(shuffled.flatten().sort().values, parameter.flatten().sort().values)
    assert not torch.equal(other.model.linear.weight, network.model.linear.weight)
    assert not any(module.training for module in other.model.modules())


def test_batch_normalisation_of_a_random_network_gets_the_moments_of_its_own_activations() -> None:
    network = Network(Convolutional(), "cpu")
    other = randomize_network(network, {"pixels": noise(6)}, np.random.default_rng(0)).model
    activation = other.body[0](noise(6))
    torch.testing.assert_close(other.body[1].running_mean, activation.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(other.body[1].running_var, activation.var(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_a_network_without_parameters_cannot_be_randomised() -> None:
    with pytest.raises(Unavailable, match="changes no logit"):
        randomize_network(Network(Region([0, 0, 1, 1]), "cpu"), {"pixels": noise(3)}, np.random.default_rng(0))


def test_likeness_to_random_networks_is_the_mean_of_absolute_correlations() -> None:
    network, explained, method, maps = attribute()
    compared = compare_with_random_networks(network, explained, method, maps, rng=np.random.default_rng(5))
    rng, expected, by_chance = np.random.default_rng(5), [], []
    for _ in range(2):
        other = randomize_network(network, {"pixels": noise(6)}, rng)
        activation = other.model.body(noise(6)).double()
        weights = other.model.linear.weight[explained.target].double()
        theirs = torch.einsum("nc,nchw->nhw", weights, activation).detach().numpy()
        pairs = [(row, row) for row in range(6)], [(row, row - 1) for row in range(6)]
        same, different = (
            [abs(spearmanr(maps.values[row].ravel(), theirs[of].ravel()).statistic) for row, of in rows]
            for rows in pairs
        )
        expected.append(same)
        by_chance.append(different)
    np.testing.assert_allclose(compared.correlation, np.mean(expected, axis=0), atol=1e-3)
    np.testing.assert_allclose(compared.by_chance, np.mean(by_chance, axis=0), atol=1e-3)
    first = randomize_network(network, {"pixels": noise(6)}, np.random.default_rng(5))
    theirs = method.refit(first, noise(6)).map_images(first, whole_batch(explained))
    np.testing.assert_allclose(compared.cells, pool_positive(theirs, explained.size), atol=1e-6)


class Edges(Frozen):
    """Shows the brightness of an image, whatever its head has learned."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1, bias=False)
        self.linear = nn.Linear(4, 2)
        with torch.no_grad():
            self.body.weight.fill_(1.0)
            self.linear.weight.copy_(torch.tensor([[0.41, 0.33, 0.27, 0.19], [-0.13, -0.22, -0.11, -0.37]]))
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(self.body(pixels).mean(dim=(2, 3)))


def test_a_map_that_shows_the_image_whatever_was_learned_is_found_out() -> None:
    network = Network(Edges(), "cpu")
    explained = explain_pixels(network, noise(8))
    method = ClassActivation.fit(network, find_map_layer(network, noise(8)), noise(8))
    quality = measure_quality(
        network,
        Attributed(method, np.arange(8), explained, explain_images(method, network, explained)),
        np.random.default_rng(0),
    )
    assert quality is not None
    assert quality.likeness is not None
    finding = quality_findings.randomization_finding(
        "class_activation", *quality.likeness, quality.content, None, WORDS
    )
    assert (finding.status, finding.value) == ("warn", pytest.approx(1))
    assert "the maps show the image" in finding.caveats


def test_stability_is_the_correlation_with_the_map_of_a_noisy_image() -> None:
    network, explained, method, maps = attribute()
    found = compare_with_noise(network, explained, method, maps, rng=np.random.default_rng(1))
    drawn = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 3, 16, 16), dtype=np.float32))
    spread = float(noise(6).max() - noise(6).min())
    activation = network.model.body(noise(6) + NOISE * spread * drawn).double()
    weights = network.model.linear.weight[explained.target].double()
    noisy = torch.einsum("nc,nchw->nhw", weights, activation).numpy()
    expected = [spearmanr(maps.values[row].ravel(), noisy[row].ravel()).statistic for row in range(6)]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_contrast_is_the_distance_from_the_baseline() -> None:
    _, explained, _, maps = attribute()
    batch = whole_batch(explained)
    correlations, _ = compare_with_contrast(explained, maps)
    contrast = (batch.pixels - batch.baselines).abs().sum(dim=1)
    coarse = nn.functional.avg_pool2d(contrast, 2)  # maps have 8 cells a side
    expected = [abs(spearmanr(maps.values[row].ravel(), coarse[row].ravel()).statistic) for row in range(6)]
    np.testing.assert_allclose(correlations, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "status", "said"),
    [
        ([0.95, 0.96, 0.94], "info", "stable"),
        ([0.1, 0.2, 0.15], "warn", "change with noise"),
        ([0.9, 0.5, np.nan, 0.99], "info", "Too few images"),
    ],
)
def test_stability_has_three_answers(values: list[float], status: str, said: str) -> None:
    finding = quality_findings.stability_finding("gradcam", np.array(values), None, WORDS)
    assert (finding.status, finding.value) == (status, pytest.approx(np.nanmean(values)))
    assert said in finding.caveats
    assert finding.n == int(np.isfinite(values).sum())


@pytest.mark.parametrize(
    ("values", "chance", "status", "said"),
    [
        ([0.05, 0.1, 0.07], 0.1, "info", "depend on what was learned"),
        ([0.8, 0.9, 0.85], 0.1, "warn", "show the image"),
        ([0.8, 0.9, 0.85], 0.9, "info", "cannot be told"),  # maps of so few cells are alike anyway
        ([0.1, 0.4, 0.2], 0.1, "info", "cannot be told"),
    ],
)
def test_randomisation_has_three_answers(values: list[float], chance: float, status: str, said: str) -> None:
    by_chance = np.full(len(values), chance)
    finding = quality_findings.randomization_finding("gradcam", np.array(values), by_chance, by_chance, None, WORDS)
    assert (finding.status, finding.value) == (status, pytest.approx(np.mean(values)))
    assert said in finding.caveats


@pytest.mark.parametrize(
    ("values", "status"), [([0.5, 0.6, 0.55], "info"), ([-0.5, -0.6, -0.55], "warn"), ([0.5, -0.5, 0.1], "info")]
)
def test_insertion_has_three_answers(values: list[float], status: str) -> None:
    finding = quality_findings.insertion_finding("gradcam", np.array(values), None, WORDS)
    assert (finding.status, finding.value) == (status, pytest.approx(np.mean(values)))
    assert ("Too few" in finding.caveats) == (values[2] == 0.1)


def test_one_image_is_no_estimate() -> None:
    finding = quality_findings.stability_finding("gradcam", np.array([0.9]), None, WORDS)
    assert (finding.status, finding.value, finding.reason) == (
        "not_measured",
        None,
        quality_findings.explain_no_cases(WORDS),
    )


def test_quality_by_group_from_thirty_images_on_and_never_of_withheld_groups() -> None:
    rng, n = np.random.default_rng(0), 75
    gain = rng.normal(size=n)
    quality = AttributionQuality("gradcam", Faithfulness(gain, gain, {}), None, np.full(n, np.nan), rng.random(n))
    groups = np.array(["a"] * 31 + ["b"] * 30 + ["c"] * 5 + [None] * 9, dtype=object)
    memberships = {None: np.full(n, None), "camera": groups}
    rows = list(tabulate_quality(quality, memberships, None, Withheld(), WORDS))
    assert {(row["attribute"], row["group"]) for row in rows} == {(None, None), ("camera", "a"), ("camera", "b")}
    (of_b,) = [row for row in rows if (row["group"], row["measure"]) == ("b", "deletion")]
    interval = mean_interval(gain[31:61])
    assert interval is not None
    assert (of_b["value"], of_b["low"], of_b["high"], of_b["n"]) == (
        pytest.approx(gain[31:61].mean()),
        pytest.approx(interval.low),
        pytest.approx(interval.high),
        MIN_PER_GROUP,
    )
    (undefined,) = [row for row in rows if row["measure"] == "likeness to the contrast of the image"]
    assert (undefined["group"], undefined["value"], undefined["n"]) == (None, None, 0), "of no group is it measured"
    small = {None: memberships[None], "camera": np.array(["a"] * 31 + ["b"] * 39 + ["c"] * 5, dtype=object)}
    shown = {row["group"] for row in tabulate_quality(quality, small, None, Withheld(10), WORDS)}
    assert shown == {None, "b"}  # a and b together would give c away, which is withheld


def test_unsound_maps_have_no_part_in_the_quality() -> None:
    network, explained, method, maps = attribute()
    values = maps.values.copy()
    values[2] = -1
    attributed = Attributed(method, np.arange(6), explained, dataclasses.replace(maps, values=values))
    quality = measure_quality(network, attributed, np.random.default_rng(0))
    assert quality is not None
    count = int(attributed.maps.sound.sum())
    assert {len(measure.values) for measure in quality.list_measures(WORDS).values()} == {count}
    for row in tabulate_quality(quality, {None: np.full(count, None)}, None, Withheld(), WORDS):
        least, most = quality.list_measures(WORDS)[str(row["measure"])].within
        assert row["low"] is None or least <= row["low"] <= row["value"] <= row["high"] <= most
    none = dataclasses.replace(maps, values=-np.ones_like(values))
    assert measure_quality(network, dataclasses.replace(attributed, maps=none), np.random.default_rng(0)) is None
