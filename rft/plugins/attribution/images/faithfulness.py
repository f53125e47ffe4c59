"""The deletion test: do the pixels that a map marks matter more to the prediction than others?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rft.plugins.attribution.images.methods import Explained, Maps
from rft.plugins.attribution.interventions import DELETED_SHARES, RANDOM_CONTROLS
from rft.plugins.attribution.network import Network

_CELLS = 14  # of a side of the coarse grid on which pixels are deleted


def deletion_gain(network: Network, explained: Explained, maps: Maps, *, rng: np.random.Generator) -> np.ndarray:
    """Return (M,) how much more the predicted class loses by a map's deletion than by a random one.

    The top of the image by the map, in the cells of a coarse grid, is filled with the image's mean colour, and the drop
    of the predicted class's margin over the others is noted: the mean over the shares ``DELETED_SHARES`` of the image
    (after Samek et al. 2017, IEEE TNNLS 28:2660). The control is the same pattern of cells, moved to a random other
    place (it wraps around the edges), so that both delete equally many cells of equal cohesion, and the fill alone
    explains no difference.

    Args:
        network: the classifier.
        explained: N images.
        maps: N maps of them; M of them are sound, and only those are used.
        rng: source of the random places.

    Returns:
        For each sound map the drop by its own deletion minus the mean drop by ``RANDOM_CONTROLS`` random ones, as a
        share of the mean margin of the images; empty where there is no margin.
    """
    used = np.flatnonzero(maps.sound)
    pixels, target = explained.pixels[used], explained.target[used]
    weights = maps.weights(explained.size, used)
    colours = pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
    margin = float(network.margins({"pixels": pixels}, target).mean())
    if not margin > 0:
        return np.array([])

    def margins_without(cells: np.ndarray) -> Tensor:
        return network.margins({"pixels": _fill_cells(pixels, colours, cells)}, target)

    gains = torch.zeros(len(used), dtype=torch.float64)
    for share in DELETED_SHARES:
        grids = top_cells(weights, share)
        controls = [margins_without(_shift_patterns(grids, rng)) for _ in range(RANDOM_CONTROLS)]
        gains += torch.stack(controls).mean(dim=0) - margins_without(grids)
    return (gains / len(DELETED_SHARES) / margin).numpy()


def top_cells(weights: np.ndarray, share: float) -> np.ndarray:
    """Return (M, g, h) booleans: the ``share`` of cells of a coarse grid that hold most of the (M, H, W) weights."""
    size = tuple(min(_CELLS, side) for side in weights.shape[1:])
    cells = functional.adaptive_avg_pool2d(torch.from_numpy(weights), size).flatten(1)
    count = max(round(share * cells.shape[1]), 1)
    top = torch.zeros_like(cells, dtype=torch.bool).scatter_(1, cells.topk(count, dim=1).indices, True)
    return top.reshape(-1, *size).numpy()


def _shift_patterns(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each (g, h) pattern shifted by a random number of cells, never by none."""
    height, width = cells.shape[1:]
    shifts = [divmod(int(place), width) for place in rng.integers(1, height * width, len(cells))]
    return np.stack([np.roll(pattern, shift, axis=(0, 1)) for pattern, shift in zip(cells, shifts, strict=True)])


def _fill_cells(pixels: Tensor, colours: Tensor, cells: np.ndarray) -> Tensor:
    mask = functional.interpolate(torch.from_numpy(cells)[:, None].float(), size=pixels.shape[-2:], mode="nearest")
    return torch.where(mask.bool(), colours, pixels)
