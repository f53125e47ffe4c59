"""Does a map depend on what the network has learned, and does it stay where an image hardly changes?

The first is the parameter randomisation of Adebayo et al. 2018, NeurIPS: all weights of a copy are dealt anew, and its
map of the same image must be another. Maps keep their sign, since absolute values of both follow the contrast of the
image. The audited model itself is not touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional

from rft.plugins.attribution.images.explained import Explained, ExplainedBatch, make_baselines, measure_contrast
from rft.plugins.attribution.images.faithfulness import pool_positive
from rft.plugins.attribution.images.methods import IntegratedGradients, MapMethod, Maps
from rft.plugins.attribution.interventions import NOISE
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.quality.random_networks import CALIBRATING, RANDOM_NETWORKS, randomize_network

MOST_CELLS = 14  # of a side of the grid on which maps are compared


@dataclass(frozen=True)
class RandomizedMaps:
    """Maps of the N explained images by networks with random weights.

    Attributes:
        correlation: (N,) absolute rank correlation of a map with that of the same image, mean over the networks.
        by_chance: (N,) the same with a map of another image: what maps with so few cells have in common by chance.
        cells: (N, g, h) of the first network, on the coarse grid on which deletion ranks them.
    """

    correlation: np.ndarray
    by_chance: np.ndarray
    cells: np.ndarray


def compare_with_random_networks(
    network: Network, explained: Explained, method: MapMethod, maps: Maps, *, rng: np.random.Generator
) -> RandomizedMaps:
    """Make the maps of the same images by ``RANDOM_NETWORKS`` copies with random weights, one copy at a time.

    Raises:
        Unavailable: when the copies answer as the network does: what it computes with is not in its parameters.
    """
    correlations, by_chance = [], []
    cells: list[np.ndarray] = []
    probe = explained.read_batch(slice(0, CALIBRATING))
    for _ in range(RANDOM_NETWORKS):
        random_network = randomize_network(network, {"pixels": probe.pixels}, rng)
        fitted = method.refit(random_network, torch.cat([probe.pixels[:4], probe.baselines[:4]]))
        values = np.concatenate([fitted.map_images(random_network, batch) for batch in explained.batches()])
        correlations.append(np.abs(correlate_ranks(maps.values, values)))
        by_chance.append(np.abs(correlate_ranks(maps.values, np.roll(values, 1, axis=0))))
        cells = cells or [pool_positive(values[part], explained.size) for part in batch_slices(len(values))]
    return RandomizedMaps(
        correlation=np.mean(correlations, axis=0), by_chance=np.mean(by_chance, axis=0), cells=np.concatenate(cells)
    )


def compare_with_noise(
    network: Network, explained: Explained, method: MapMethod, maps: Maps, *, rng: np.random.Generator
) -> np.ndarray:
    """Return (N,) the rank correlation of a map with that of the same image under noise of ``NOISE``."""
    correlations = []
    for part in batch_slices(len(explained)):
        batch = explained.read_batch(part)
        steady = maps.values[part]
        if isinstance(method, IntegratedGradients):  # of as few steps: the difference is then that of the images
            steady = method.map_images(network, batch)
        noisy = method.map_images(network, _add_noise(batch, explained.baseline, rng))
        correlations.append(correlate_ranks(steady, noisy))
    return np.concatenate(correlations)


def compare_with_contrast(explained: Explained, maps: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) the absolute rank correlation of a map with the contrast of its image, and (N, g, h) its cells."""
    pairs = []
    for part in batch_slices(len(explained)):
        contrast = measure_contrast(explained.read_batch(part))
        pairs.append((np.abs(correlate_ranks(maps.values[part], contrast)), pool_positive(contrast, explained.size)))
    correlations, cells = zip(*pairs, strict=True)
    return np.concatenate(correlations), np.concatenate(cells)


def correlate_ranks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (N,) Spearman's rank correlation of (N, h, w) maps, over at most ``MOST_CELLS`` cells a side.

    NaN where a map is the same everywhere or not finite. Maps of two sizes are compared on the coarser grid.
    """
    sides = [min(MOST_CELLS, *pair) for pair in zip(first.shape[1:], second.shape[1:], strict=True)]
    ranks = [_rank_cells(values, (sides[0], sides[1])) for values in (first, second)]
    centred = [values - values.mean(axis=1, keepdims=True) for values in ranks]
    sizes = np.prod([np.sqrt((values**2).sum(axis=1)) for values in centred], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations: np.ndarray = (centred[0] * centred[1]).sum(axis=1) / sizes
    return correlations


def _add_noise(batch: ExplainedBatch, baseline: Tensor | None, rng: np.random.Generator) -> ExplainedBatch:
    scale = NOISE * float(batch.pixels.max() - batch.pixels.min())
    pixels = batch.pixels + scale * torch.from_numpy(rng.standard_normal(batch.pixels.shape, dtype=np.float32))
    return ExplainedBatch(pixels, make_baselines(pixels, baseline), batch.target)


def _rank_cells(values: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Return (N, cells) ranks, NaN for maps that are not finite or the same everywhere."""
    cells = functional.adaptive_avg_pool2d(torch.from_numpy(values).double(), sides).flatten(1).numpy()
    ranks: np.ndarray = rankdata(cells, axis=1)
    ranks[~np.isfinite(cells).all(axis=1) | (cells.max(axis=1) == cells.min(axis=1))] = np.nan
    return ranks
