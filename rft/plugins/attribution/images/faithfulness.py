"""The deletion test: do the pixels that a map marks matter more to the prediction than others?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rft.plugins.attribution.images.methods import Explained, Maps
from rft.plugins.attribution.interventions import DELETED_SHARE, RANDOM_CONTROLS
from rft.plugins.attribution.network import Network

_CELLS = 14  # of a side of the coarse grid on which pixels are deleted


def deletion_gain(network: Network, explained: Explained, maps: Maps, *, rng: np.random.Generator) -> np.ndarray:
    """Return (M,) how much more the predicted class loses by a map's deletion than by a random one.

    The top ``DELETED_SHARE`` of the image by the map, in the cells of a coarse grid, is replaced by the blurred
    image, and the drop of the probability of the predicted class is noted (Samek et al. 2017, IEEE TNNLS 28:2660). The
    control is the same pattern of cells, moved to a random other place (it wraps around the edges), so that both
    delete equally many cells of equal cohesion and blur alone explains no difference.

    Args:
        network: the classifier.
        explained: N images.
        maps: N maps of them; M of them are sound, and only those are used.
        rng: source of the random places.

    Returns:
        For each sound map the drop by its own deletion minus the mean drop by ``RANDOM_CONTROLS`` random ones, in [-1,
        1].
    """
    used = np.flatnonzero(maps.sound)
    pixels, target = explained.pixels[used], explained.target[used]
    grids = top_cells(maps.weights(explained.size, used))
    before = network.probabilities({"pixels": pixels}, target)

    def probability_drop(cells: np.ndarray) -> Tensor:
        deleted = _delete_cells(pixels, explained.baseline[used], cells)
        return before - network.probabilities({"pixels": deleted}, target)

    controls = torch.stack([probability_drop(_shift_patterns(grids, rng)) for _ in range(RANDOM_CONTROLS)])
    return (probability_drop(grids) - controls.mean(dim=0)).numpy()


def top_cells(weights: np.ndarray) -> np.ndarray:
    """Return (M, g, h) booleans: the cells of a coarse grid that hold most of the (M, H, W) weights."""
    size = tuple(min(_CELLS, side) for side in weights.shape[1:])
    cells = functional.adaptive_avg_pool2d(torch.from_numpy(weights), size).flatten(1)
    count = max(round(DELETED_SHARE * cells.shape[1]), 1)
    top = torch.zeros_like(cells, dtype=torch.bool).scatter_(1, cells.topk(count, dim=1).indices, True)
    return top.reshape(-1, *size).numpy()


def _shift_patterns(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each (g, h) pattern shifted by a random number of cells, never by none."""
    height, width = cells.shape[1:]
    shifts = [divmod(int(place), width) for place in rng.integers(1, height * width, len(cells))]
    return np.stack([np.roll(pattern, shift, axis=(0, 1)) for pattern, shift in zip(cells, shifts, strict=True)])


def _delete_cells(pixels: Tensor, baseline: Tensor, cells: np.ndarray) -> Tensor:
    mask = functional.interpolate(torch.from_numpy(cells)[:, None].float(), size=pixels.shape[-2:], mode="nearest")
    return torch.where(mask.bool(), baseline, pixels)
