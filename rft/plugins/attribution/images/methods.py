"""The methods that make maps, on the joined classifier, with checks on what they return.

All explain the predicted class and run the joined classifier on pixels: cached features have no way back to the image.
The parameters stay frozen; Captum asks for gradients of the image or of the layer alone. Maps keep their sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor
from torch.nn import functional

from rft.errors import Unavailable
from rft.plugins.attribution.images.explained import Explained, ExplainedBatch
from rft.plugins.attribution.images.map_layer import FromMap, MapLayer
from rft.plugins.attribution.network import FromPixels, Network, batch_slices
from rft.plugins.attribution.path import CHUNK, REPEATED_STEPS, Completeness, Path, explain_unsettled
from rft.runtime.devices.fitting_batches import map_batches
from rft.runtime.progress import track_progress

PATCHES = 7  # of a side of the grid whose patches are taken away one by one
MOST_PIXELS = 112  # of a side of a map that is kept


class MapMethod(Protocol):
    """A way to make maps of images.

    Attributes:
        name: as ``methods`` of the config calls it.
        layer_name: the module whose output it reads; None where it reads pixels.
    """

    @property
    def name(self) -> str: ...

    @property
    def layer_name(self) -> str | None: ...

    def map_images(self, network: Network, batch: ExplainedBatch) -> np.ndarray:
        """Return (B, h, w) float32 maps of images by a network: of those explained, and of others to compare with."""
        ...

    def refit(self, network: Network, pixels: Tensor) -> MapMethod:
        """Return the same method for a network of the same modules with other weights."""
        ...


@dataclass(frozen=True)
class Maps:
    """Attribution maps of N images by one method.

    Attributes:
        method: its name.
        values: (N, h, w) float32, signed.
        completeness: N of them for integrated gradients, None for the others: class activation maps are refused where
            they are not complete, and GradCAM and patch ablation promise nothing.
        layer: the module whose output was read; None where pixels were.
    """

    method: str
    values: np.ndarray
    completeness: tuple[Completeness, ...] | None = None
    layer: str | None = None

    @property
    def sound(self) -> np.ndarray:
        """(N,) whether a map is finite and says something for the predicted class; only such maps are used."""
        values: np.ndarray = np.isfinite(self.values).all(axis=(1, 2)) & (self.values > 0).any(axis=(1, 2))
        return values

    def enlarge(self, size: tuple[int, int], which: np.ndarray) -> np.ndarray:
        """Return (M, *size) the maps ``which`` (M,), enlarged to ``size``, with their sign."""
        values = torch.from_numpy(self.values[which].astype(np.float64))
        enlarged: np.ndarray = functional.interpolate(values[:, None], size=size, mode="bilinear")[:, 0].numpy()
        return enlarged

    def weights(self, size: tuple[int, int], which: np.ndarray) -> np.ndarray:
        """Return (M, *size) what in the maps ``which`` (M,) speaks for the predicted class, with sum 1 each.

        Evidence against the class is no part of it: in maps of integrated gradients it is half of the absolute values.
        """
        scaled = Maps(self.method, self.values[which].clip(min=0)).enlarge(size, np.arange(len(which)))
        shares: np.ndarray = scaled / scaled.sum(axis=(1, 2), keepdims=True)
        return shares


@dataclass(frozen=True)
class GradCam:
    """GradCAM at the last map that decides, without its last rectifier (Selvaraju et al. 2017, ICCV)."""

    layer: MapLayer
    name: str = "gradcam"

    @property
    def layer_name(self) -> str:
        """The layer."""
        return self.layer.name

    def map_images(self, network: Network, batch: ExplainedBatch) -> np.ndarray:
        """Return (B, h, w) maps."""

        def map_rows(rows: np.ndarray) -> np.ndarray:
            function = FromMap(network, self.layer, batch.pixels[rows])
            target = batch.target[rows].to(network.device)
            values = LayerGradCam(function, function.entry).attribute(function.read_maps(), target=target)
            maps: np.ndarray = values[:, 0].detach().float().cpu().numpy()
            return maps

        return np.concatenate([maps for _, maps in map_batches(map_rows, len(batch.pixels), CHUNK)])

    def refit(self, network: Network, pixels: Tensor) -> GradCam:
        """Return itself: nothing of it depends on the weights."""
        return self


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients from the baselines, summed over channels (Sundararajan et al. 2017, ICML).

    Attributes:
        max_steps: largest number of gradients of an explained image; ``path`` says how many it needs.
        must_converge: whether there are no maps at all where one of them has not converged by then.
    """

    max_steps: int
    must_converge: bool = False
    name: str = "integrated_gradients"
    layer_name: str | None = None

    def explain(self, network: Network, explained: Explained) -> Maps:
        """Return (N, h, w) maps, and how complete each is.

        Raises:
            Unavailable: when one of them must converge and does not.
        """
        results = []
        for place in track_progress(range(len(explained)), "Integrated gradients"):
            path = _list_paths(network, explained.read_batch(slice(place, place + 1)))[0]
            values, completeness = path.integrate(self.max_steps)
            if self.must_converge and completeness.unsettled:
                raise Unavailable(explain_unsettled(completeness, "an image"))
            results.append((_sum_blocks(values), completeness))
        maps, completeness_of_all = zip(*results, strict=True)
        return Maps(self.name, np.stack(maps), completeness_of_all)

    def map_images(self, network: Network, batch: ExplainedBatch) -> np.ndarray:
        """Return (B, h, w) maps with a few steps each."""
        paths = _list_paths(network, batch)
        return np.stack([_sum_blocks(path.integrate_with(REPEATED_STEPS)) for path in paths])

    def refit(self, network: Network, pixels: Tensor) -> IntegratedGradients:
        """Return itself: nothing of it depends on the weights."""
        return self


@dataclass(frozen=True)
class PatchAblation:
    """How much of the margin an image loses when one patch of a grid gets the image's mean colour (Zeiler and Fergus).

    It takes ``PATCHES ** 2`` forward passes and one more for an image, and knows nothing of the network.
    """

    name: str = "patch_ablation"
    layer_name: str | None = None

    def map_images(self, network: Network, batch: ExplainedBatch) -> np.ndarray:
        """Return (B, ``PATCHES``, ``PATCHES``) maps."""
        return np.stack([self._map_image(network, *pair) for pair in zip(batch.pixels, batch.target, strict=True)])

    def refit(self, network: Network, pixels: Tensor) -> PatchAblation:
        """Return itself: nothing of it depends on the weights."""
        return self

    def _map_image(self, network: Network, image: Tensor, target: Tensor) -> np.ndarray:
        count = PATCHES * PATCHES
        patches = torch.eye(count).view(count, 1, PATCHES, PATCHES)
        filled = functional.interpolate(patches, size=image.shape[1:], mode="nearest").bool()
        colour, margins = image.mean(dim=(1, 2), keepdim=True), []
        for part in batch_slices(count):
            pixels = torch.where(filled[part], colour, image)
            margins.append(network.margins({"pixels": pixels}, target.expand(len(pixels))))
        whole = network.margins({"pixels": image[None]}, target[None])
        lost: np.ndarray = (whole - torch.cat(margins)).view(PATCHES, PATCHES).float().numpy()
        return lost


def explain_images(method: MapMethod, network: Network, explained: Explained) -> Maps:
    """Return the maps of all explained images by a method."""
    if isinstance(method, IntegratedGradients):
        return method.explain(network, explained)
    parts = list(batch_slices(len(explained)))
    values = [method.map_images(network, explained.read_batch(part)) for part in track_progress(parts, "Maps")]
    return Maps(method.name, np.concatenate(values), layer=method.layer_name)


def _list_paths(network: Network, batch: ExplainedBatch) -> list[Path]:
    function = FromPixels(network)
    return [
        Path(function, network.place(baseline), network.place(image), int(target), axis=0)
        for image, baseline, target in zip(batch.pixels, batch.baselines, batch.target, strict=True)
    ]


def _sum_blocks(values: np.ndarray) -> np.ndarray:
    """Return an (H, W) map, or one of at most ``MOST_PIXELS`` a side whose cells are sums of blocks of pixels."""
    block = tuple(-(-side // MOST_PIXELS) for side in values.shape)
    summed: np.ndarray = functional.avg_pool2d(
        torch.from_numpy(values)[None], block, ceil_mode=True, divisor_override=1
    )[0].numpy()
    return summed
