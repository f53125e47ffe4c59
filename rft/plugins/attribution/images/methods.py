"""GradCAM and integrated gradients through Captum, on the joined classifier, with checks on what they return.

Both explain the logit of the predicted class and run the joined classifier on pixels: cached features have no way back
to the image. The parameters stay frozen; Captum asks for gradients of the image or of the layer alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor
from torch.nn import functional

from rft.plugins.attribution.images.map_layer import FromMap, find_map_layer
from rft.plugins.attribution.network import FromPixels, Network, batch_slices
from rft.plugins.attribution.path import CHUNK, Completeness, Path
from rft.runtime.progress import track_progress

EXCHANGED = 4  # images, and as many blurred ones, on which the layer of GradCAM is checked
BLUR = 0.1  # standard deviation of the baseline's blur, as a share of the shorter side


@dataclass(frozen=True)
class Explained:
    """The test images that are explained.

    Attributes:
        rows: (N,) rows of the test split.
        pixels: (N, 3, H, W) in [0, 1], on the CPU.
        baseline: (N, 3, H, W) what integrated gradients start from: the same images, blurred, or one image for all.
        target: (N,) index of the predicted class, int64.
        same_class: number of baselines that get the predicted class of their image.
    """

    rows: np.ndarray
    pixels: Tensor
    baseline: Tensor
    target: Tensor
    same_class: int

    @classmethod
    def from_pixels(
        cls, network: Network, rows: np.ndarray, pixels: Tensor, baseline: Tensor | None = None
    ) -> Explained:
        """Predict (N, 3, H, W) pixels of the test split's ``rows`` and their baselines: blurred, or (3, H, W)."""
        baselines = blur_images(pixels) if baseline is None else baseline.expand_as(pixels).contiguous()
        target, same = (network.logits({"pixels": images}).argmax(dim=1) for images in (pixels, baselines))
        return cls(rows, pixels, baselines, target, int((target == same).sum()))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.pixels.shape[2], self.pixels.shape[3]


@dataclass(frozen=True)
class Maps:
    """Attribution maps of N images by one method.

    Attributes:
        method: ``gradcam_maps`` or ``integrated_gradients``.
        values: (N, h, w) float32; signed for integrated gradients, not negative for GradCAM.
        completeness: N of them for integrated gradients, None for GradCAM, which promises none.
        layer: the module whose output GradCAM reads; None for integrated gradients.
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
        scaled = Maps(self.method, self.values.clip(min=0)).enlarge(size, which)
        shares: np.ndarray = scaled / scaled.sum(axis=(1, 2), keepdims=True)
        return shares


def blur_images(pixels: Tensor) -> Tensor:
    """Return (N, 3, H, W) pixels after a wide Gaussian blur, the baseline of integrated gradients.

    A black baseline is an image unlike any other: with it ConvNeXt has a completeness error of 100 % at any number
    of steps (Sturmfels et al. 2020, Distill, on the choice of baselines).
    """
    sigma = BLUR * min(pixels.shape[-2:])
    radius = min(math.ceil(3 * sigma), min(pixels.shape[-2:]) - 1)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    planes = pixels.reshape(-1, 1, *pixels.shape[-2:])
    for _ in range(2):  # along the rows, then, transposed, along the columns
        planes = functional.conv2d(functional.pad(planes, (radius, radius, 0, 0), mode="reflect"), kernel).mT
    return planes.reshape(pixels.shape)


def gradcam_maps(network: Network, explained: Explained) -> Maps:
    """Return (N, h, w) GradCAM maps at the last map that decides (Selvaraju et al. 2017, ICCV).

    Raises:
        Unavailable: when there is no such layer; see ``find_map_layer``.
    """
    layer = find_map_layer(network, torch.cat([explained.pixels[:EXCHANGED], explained.baseline[:EXCHANGED]]))
    maps = []
    for part in batch_slices(len(explained), CHUNK):
        function = FromMap(network, layer, explained.pixels[part])
        target = explained.target[part].to(network.device)
        values = LayerGradCam(function, function.entry).attribute(
            function.read_maps(), target=target, relu_attributions=True
        )
        maps.append(values[:, 0].detach().float().cpu().numpy())
    return Maps("gradcam", np.concatenate(maps), layer=layer.name)


def integrated_gradients(network: Network, explained: Explained, *, max_steps: int) -> Maps:
    """Return (N, H, W) integrated gradients from the baselines, summed over channels, and how complete each is.

    Source: Sundararajan et al. 2017, ICML; the steps, at most ``max_steps``, are those that ``path`` needs.
    """
    function, results = FromPixels(network), []
    for index in track_progress(range(len(explained)), "Integrated gradients"):
        image, baseline = (network.place(images[index]) for images in (explained.pixels, explained.baseline))
        path = Path(function, baseline, image, int(explained.target[index]), axis=0)
        results.append(path.integrate(max_steps))
    values, completeness = zip(*results, strict=True)
    return Maps("integrated_gradients", np.stack(values), completeness)
