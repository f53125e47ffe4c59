"""The deletion test: right maps pass, maps that know nothing do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rft.plugins.attribution import findings, modality_words
from rft.plugins.attribution.images.faithfulness import _shift_patterns, deletion_gain, top_cells
from rft.plugins.attribution.images.methods import Explained, Maps, gradcam_maps, integrated_gradients
from rft.plugins.attribution.network import Network
from rft.stats.intervals import mean_interval
from tests.support.attribution_cases import CORNER, SIDE, Convolutional, Region, noise


def speckled_corners(n: int, seed: int = 0) -> torch.Tensor:
    """Return images whose corner is speckled red or blue on a black ground, so that blurring it takes colour away."""
    pixels = 0.3 * noise(n, seed=seed)
    cut = SIDE // 4
    pixels[:, :, :cut, :cut] = 0
    for row in range(n):
        pixels[row, 2 * (row % 2), :cut, :cut] = 1
    return pixels


def explain_corner(pixels: torch.Tensor) -> tuple[Network, Explained]:
    network = Network(Region(CORNER, strength=6.0), "cpu")
    return network, Explained.from_pixels(network, np.arange(len(pixels)), pixels)


def test_a_right_map_beats_random_places() -> None:
    network, images = explain_corner(speckled_corners(20))
    maps = integrated_gradients(network, images, max_steps=64)
    interval = mean_interval(deletion_gain(network, images, maps, rng=np.random.default_rng(0)))
    assert interval is not None
    assert interval.low > 0


def test_maps_that_know_nothing_seldom_pass() -> None:
    network, images = explain_corner(speckled_corners(20))
    passed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        maps = Maps("gradcam", rng.random((20, 4, 4)).astype(np.float32))
        interval = mean_interval(deletion_gain(network, images, maps, rng=rng))
        assert interval is not None
        passed += interval.low > 0
    assert passed <= 4  # 1 of 40 is nominal, for one side of a 95 % interval


def test_only_sound_maps_are_used() -> None:
    network, images = explain_corner(speckled_corners(6))
    values = np.random.default_rng(0).random((6, 4, 4)).astype(np.float32)
    values[2] = 0
    assert deletion_gain(network, images, Maps("gradcam", values), rng=np.random.default_rng(0)).shape == (5,)


def test_top_cells_are_a_fifth_and_the_strongest() -> None:
    weights = np.zeros((1, 28, 28))
    weights[0, :14, :14] = 1 + np.arange(14)[:, None] / 14
    cells = top_cells(weights, 0.2)
    assert cells.shape == (1, 14, 14)
    assert cells.sum() == round(0.2 * 14 * 14)
    assert cells[0, :7, :7].sum() == cells.sum()


def test_the_control_keeps_the_pattern_and_always_moves_it() -> None:
    cells = np.zeros((50, 3, 4), dtype=bool)
    cells[:, 0, 1] = True
    moved = _shift_patterns(cells, np.random.default_rng(0))
    assert (moved.sum(axis=(1, 2)) == 1).all()
    assert not (moved & cells).any()
    assert (moved.any(axis=0) | cells[0]).all()  # every other place occurs


def test_the_gain_is_the_mean_loss_of_the_lead_beyond_chance() -> None:
    """Held against a loop that fills cells one image and one share at a time, in float64."""
    network, images = explain_corner(speckled_corners(4))
    maps = Maps("gradcam", np.random.default_rng(3).random((4, 14, 14)).astype(np.float32))
    gain = deletion_gain(network, images, maps, rng=np.random.default_rng(0))

    def lead(pixels: torch.Tensor, target: int) -> float:
        logits = network.model({"pixels": pixels[None].double()})[0]
        return float(logits[target] - logits[1 - target])

    def without(row: int, cells: np.ndarray) -> float:
        pixels = images.pixels[row].clone()
        for y, x in np.ndindex(SIDE, SIDE):
            if cells[y * 14 // SIDE, x * 14 // SIDE]:
                pixels[:, y, x] = images.pixels[row].mean(dim=(1, 2))
        return lead(pixels, int(images.target[row]))

    rng, expected = np.random.default_rng(0), np.zeros(4)
    for share in (0.1, 0.2, 0.4):
        grids = top_cells(maps.weights(images.size, np.arange(4)), share)
        controls = [_shift_patterns(grids, rng) for _ in range(3)]
        for row in range(4):
            by_chance = np.mean([without(row, control[row]) for control in controls])
            expected[row] += (by_chance - without(row, grids[row])) / 3
    leads = [lead(images.pixels[row], int(images.target[row])) for row in range(4)]
    np.testing.assert_allclose(gain, expected / np.mean(leads), atol=1e-5)


@pytest.mark.parametrize(
    ("gain", "status", "said"),
    [
        ([0.4, 0.5, 0.6, 0.5], "info", "mark what decides"),
        ([0.02, -0.02, 0.01, -0.01], "warn", "no more than chance"),
        ([-0.4, -0.5, -0.6, -0.5], "warn", "no more than chance"),
        ([0.6, -0.1, 0.5, -0.2], "info", "Too few images to tell"),
    ],
)
def test_the_deletion_test_has_three_answers(gain: list[float], status: str, said: str) -> None:
    finding = findings.deletion_finding("gradcam", np.array(gain), None, modality_words.IMAGES["blur"])
    assert (finding.status, finding.value) == (status, pytest.approx(np.mean(gain)))
    assert said in finding.caveats


MARK_SIDE = 4


def marked_images(n: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Return (n, 3, 32, 32) noise with a red or blue mark off the centre, its class, and (n, 32, 32) where it is."""
    pixels = torch.from_numpy(rng.uniform(0.2, 0.8, (n, 3, 32, 32)).astype(np.float32))
    labels, where = rng.integers(2, size=n), np.zeros((n, 32, 32), dtype=np.float32)
    for row in range(n):
        place = rng.integers(0, 32 - MARK_SIDE, 2)
        while (np.abs(place + MARK_SIDE / 2 - 16) < 8).all():
            place = rng.integers(0, 32 - MARK_SIDE, 2)
        rows, columns = (slice(start, start + MARK_SIDE) for start in place)
        pixels[row, :, rows, columns] = torch.tensor([0.9, 0.3, 0.3] if labels[row] else [0.3, 0.3, 0.9])[:, None, None]
        where[row, rows, columns] = 1
    return pixels, torch.from_numpy(labels), where


def train_on_marks() -> Convolutional:
    torch.manual_seed(0)
    model = Convolutional(seed=0).train().requires_grad_(True)
    optimizer, rng = torch.optim.Adam(model.parameters(), lr=0.01), np.random.default_rng(99)
    for _ in range(300):
        pixels, labels, _ = marked_images(64, rng)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model({"pixels": pixels}), labels).backward()
        optimizer.step()
    model.finish()
    pixels, labels, _ = marked_images(500, rng)
    assert (model({"pixels": pixels}).argmax(dim=1) == labels).float().mean() > 0.95
    return model


@pytest.mark.slow
def test_at_twelve_images_true_maps_pass_and_sham_maps_do_not() -> None:
    """Maps of a trained network pass in at least 90 % of the audits, maps that know nothing of an image in at most 5 %.

    Maps of a randomised network do know the image: they show what stands out, and here the mark does. They pass in a
    fifth of the audits, which no deletion against random places can prevent.
    """
    model, audits, n = train_on_marks(), 100, 12
    network, randomised = Network(model, "cpu"), Network(Convolutional(seed=7), "cpu")
    rows, columns = np.mgrid[0:32, 0:32] - 15.5
    shams = {
        "border": np.maximum(np.abs(rows), np.abs(columns)),
        "centre": np.exp(-(rows**2 + columns**2) / 50),
    }
    passed: dict[str, int] = {}
    said: dict[str, int] = {}
    for seed in range(audits):
        rng = np.random.default_rng(seed)
        pixels, _, where = marked_images(n, rng)
        explained = Explained.from_pixels(network, np.arange(n), pixels)
        by_other = Explained.from_pixels(randomised, np.arange(n), pixels)
        maps = {
            "true": Maps("gradcam", where),
            "gradcam": gradcam_maps(network, explained),
            "integrated gradients": integrated_gradients(network, explained, max_steps=16),
            "random": Maps("gradcam", rng.random((n, 14, 14)).astype(np.float32)),
            "randomised network": integrated_gradients(randomised, by_other, max_steps=16),
            **{name: Maps("gradcam", np.tile(sham, (n, 1, 1)).astype(np.float32)) for name, sham in shams.items()},
        }
        for name, method_maps in maps.items():
            gain = deletion_gain(network, explained, method_maps, rng=rng)
            finding = findings.deletion_finding("gradcam", gain, None, modality_words.IMAGES["blur"])
            interval = finding.interval
            assert interval is not None
            passed[name] = passed.get(name, 0) + (interval.low > 0)
            said[name] = said.get(name, 0) + (finding.status == "warn")
    for name in ("true", "gradcam", "integrated gradients"):
        assert passed[name] >= 0.9 * audits, (name, passed)
        assert said[name] == 0, (name, said)
    for name in ("random", "border", "centre"):
        assert passed[name] <= 0.05 * audits, (name, passed)
    assert passed["randomised network"] <= 0.4 * audits, passed
