"""Do the pixels that a map marks decide the prediction, more than others and more than what merely stands out?

Deletion fills the cells that a map marks with the image's mean colour, insertion all the others (after Samek et al.
2017, IEEE TNNLS 28:2660, and Petsiuk et al. 2018, BMVC). Both are held against the same pattern of cells, moved to a
random other place (it wraps around the edges): equally many cells of equal cohesion, so that the fill alone explains no
difference. Deletion is also held against maps that know nothing of what the network has learned, on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.methods import Maps
from rft.plugins.attribution.interventions import DELETED_SHARES, RANDOM_CONTROLS
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.quality.deletion import Faithfulness

_CELLS = 14  # of a side of the coarse grid on which pixels are deleted


def measure_faithfulness(
    network: Network,
    explained: Explained,
    maps: Maps,
    references: Mapping[str, np.ndarray],
    *,
    rng: np.random.Generator,
) -> Faithfulness:
    """Delete and insert what the sound maps mark: the mean over the shares ``DELETED_SHARES`` of the image.

    Args:
        network: the classifier.
        explained: N images.
        maps: N maps of them; M of them are sound, and only those are used.
        references: (N, g, h) cells of maps that know nothing of what the network has learned, by name.
        rng: source of the random places.
    """
    used = np.flatnonzero(maps.sound)
    chosen = explained.take(used)
    parts = [np.zeros((0, 3 + len(references)))]
    for part in batch_slices(len(chosen)):
        batch = chosen.read_batch(part)
        cells = [pool_positive(maps.values[used[part]], explained.size)]
        cells += [values[used[part]] for values in references.values()]
        parts.append(_measure_batch(network, batch.pixels, batch.target, cells, rng))
    margin, *gains = np.concatenate(parts).T
    lead = float(margin.mean()) if len(margin) else 0.0
    deletion, insertion, *beyond = (gain / lead if lead > 0 else np.array([]) for gain in gains)
    return Faithfulness(deletion, insertion, dict(zip(references, beyond, strict=True)))


def _measure_batch(
    network: Network, pixels: Tensor, target: Tensor, cells: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return (B, 3 + R) margin, gain by deletion, gain by insertion, and gain beyond each of R references.

    ``cells``: (B, g, h) of the map and of each reference.
    """
    colours = pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)

    def margins_without(grids: np.ndarray) -> np.ndarray:
        margins: np.ndarray = network.margins({"pixels": _fill_cells(pixels, colours, grids)}, target).numpy()
        return margins

    shares = []
    for share in DELETED_SHARES:
        own, *others = (top_cells(values, share) for values in cells)
        moved = [_shift_patterns(own, rng) for _ in range(RANDOM_CONTROLS)]
        left, shown = margins_without(own), margins_without(~own)
        left_by_chance, shown_by_chance = (
            np.mean([margins_without(grids) for grids in patterns], axis=0)
            for patterns in (moved, [~pattern for pattern in moved[:1]])
        )
        beyond = [margins_without(grids) - left for grids in others]
        shares.append(np.stack([left_by_chance - left, shown - shown_by_chance, *beyond], axis=1))
    margin = network.margins({"pixels": pixels}, target).numpy()
    return np.concatenate([margin[:, None], np.mean(shares, axis=0)], axis=1)


def pool_positive(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (B, g, h) what speaks for the class in the cells of the coarse grid, of (B, H, W) maps of images.

    Of a map in which nothing does, which a reference may be, it is what speaks least against it.
    """
    nothing = ~np.any(values > 0, axis=(1, 2), keepdims=True)
    positive = np.where(nothing, values - values.min(axis=(1, 2), keepdims=True), values.clip(min=0))
    enlarged = functional.interpolate(torch.from_numpy(positive).double()[:, None], size=size, mode="bilinear")
    cells: np.ndarray = functional.adaptive_avg_pool2d(enlarged[:, 0], _grid_of(size)).numpy()
    return cells


def top_cells(cells: np.ndarray, share: float) -> np.ndarray:
    """Return (B, g, h) booleans: the ``share`` of (B, g, h) cells that hold most, at least one."""
    flat = torch.from_numpy(cells).flatten(1)
    count = max(round(share * flat.shape[1]), 1)
    top = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, flat.topk(count, dim=1).indices, True)
    return top.reshape(cells.shape).numpy()


def _grid_of(size: tuple[int, int]) -> tuple[int, int]:
    return min(_CELLS, size[0]), min(_CELLS, size[1])


def _shift_patterns(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each (g, h) pattern shifted by a random number of cells, never by none."""
    height, width = cells.shape[1:]
    shifts = [divmod(int(place), width) for place in rng.integers(1, height * width, len(cells))]
    return np.stack([np.roll(pattern, shift, axis=(0, 1)) for pattern, shift in zip(cells, shifts, strict=True)])


def _fill_cells(pixels: Tensor, colours: Tensor, cells: np.ndarray) -> Tensor:
    mask = functional.interpolate(torch.from_numpy(cells)[:, None].float(), size=pixels.shape[-2:], mode="nearest")
    return torch.where(mask.bool(), colours, pixels)
