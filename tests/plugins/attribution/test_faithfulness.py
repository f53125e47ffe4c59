"""The deletion test: right maps pass, maps that know nothing do not."""

from __future__ import annotations

import numpy as np
import torch

from rft.plugins.attribution.images.faithfulness import _shift_patterns, deletion_gain, top_cells
from rft.plugins.attribution.images.methods import Explained, Maps, integrated_gradients
from rft.plugins.attribution.network import Network
from rft.stats.intervals import mean_interval
from tests.support.attribution_cases import CORNER, SIDE, Region, noise


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
    cells = top_cells(weights)
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
