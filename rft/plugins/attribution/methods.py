"""GradCAM and integrated gradients through Captum, on the joined classifier, with checks on what they return.

Both explain the logit of the predicted class and run the joined classifier on pixels: cached features have no way back
to the picture. The parameters stay frozen; Captum asks for gradients of the picture or of the layer alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor
from torch.nn import functional

from rft.errors import Unavailable
from rft.plugins.attribution.network import Network, batches
from rft.progress import track

TOLERANCE = 0.05  # largest relative completeness error that counts as complete
BLUR = 0.1  # standard deviation of the baseline's blur, as a share of the shorter side

_CHUNK = 8  # images a backward pass; about 27 MB each at 224 px
_PIECES, _NODES = 4, 2  # of a path, to begin with, and Gauss-Legendre nodes in each piece
_NEGLIGIBLE = 1e-3  # of a logit: below it a relative error says more about rounding than about the map


@dataclass(frozen=True)
class Explained:
    """The test images that are explained.

    Attributes:
        rows: (N,) rows of the test split.
        pixels: (N, 3, H, W) in [0, 1], on the CPU.
        baseline: (N, 3, H, W) the same images, blurred.
        target: (N,) index of the predicted class, int64.
    """

    rows: np.ndarray
    pixels: Tensor
    baseline: Tensor
    target: Tensor

    @classmethod
    def of(cls, network: Network, rows: np.ndarray, pixels: Tensor) -> Explained:
        """Predict and blur (N, 3, H, W) pixels of the test split's ``rows``."""
        return cls(rows, pixels, blurred(pixels), network.logits(pixels).argmax(dim=1))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.pixels.shape[2], self.pixels.shape[3]


@dataclass(frozen=True)
class Completeness:
    """How nearly an attribution sums to the change of the logit from the baseline to the image.

    Attributes:
        steps: number of gradients that were spent on the image.
        error: ``|sum of attributions - change| / |change|``; None where the change is too small to divide by.
    """

    steps: int
    error: float | None


@dataclass(frozen=True)
class Maps:
    """Attribution maps of N images by one method.

    Attributes:
        method: ``gradcam`` or ``integrated_gradients``.
        values: (N, h, w) float32; signed for integrated gradients, not negative for GradCAM.
        completeness: N of them for integrated gradients, None for GradCAM, which promises none.
    """

    method: str
    values: np.ndarray
    completeness: tuple[Completeness, ...] | None = None

    @property
    def sound(self) -> np.ndarray:
        """(N,) whether a map is finite and not zero everywhere; only such maps are used."""
        return np.isfinite(self.values).all(axis=(1, 2)) & (self.values != 0).any(axis=(1, 2))

    def weights(self, size: tuple[int, int], which: np.ndarray) -> np.ndarray:
        """Return (M, *size) absolute values of the maps ``which`` (M,), enlarged to ``size`` and with sum 1 each."""
        values = torch.from_numpy(np.abs(self.values[which], dtype=np.float64))
        scaled = functional.interpolate(values[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].numpy()
        return scaled / scaled.sum(axis=(1, 2), keepdims=True)


def blurred(pixels: Tensor) -> Tensor:
    """Return (N, 3, H, W) pixels after a wide Gaussian blur, the baseline of integrated gradients.

    A black baseline is a picture unlike any other: with it ConvNeXt has a completeness error of 100 % at any number
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


def gradcam(network: Network, explained: Explained) -> Maps:
    """Return (N, h, w) GradCAM maps at the model's last spatial layer (Selvaraju et al. 2017, ICCV).

    Raises:
        Unavailable: when the model has no such layer, or Captum's answer there is not a map of the picture.
    """
    name = network.model.spatial_layer
    if name is None:
        raise Unavailable("this backbone has no spatial map")
    explainer = LayerGradCam(network.model, network.model.get_submodule(name))
    maps = []
    for part in batches(len(explained), _CHUNK):
        pixels = network.place(explained.pixels[part])
        target = explained.target[part].to(network.device)
        values = explainer.attribute(pixels, target=target, relu_attributions=True)
        if not _spatial(values.shape, pixels.shape):
            raise Unavailable(f"values of shape {tuple(values.shape)} at {name} are not a map of the picture")
        maps.append(values[:, 0].detach().float().cpu().numpy())
    return Maps("gradcam", np.concatenate(maps))


def _spatial(shape: Sequence[int], pixels: Sequence[int]) -> bool:
    """Tell whether values are (B, 1, h, w) with the picture's proportions; tokens and channels-last layers are not."""
    if len(shape) != 4 or shape[0] != pixels[0] or shape[1] != 1:
        return False
    (height, width), (full_height, full_width) = shape[2:], pixels[2:]
    expected_width = height * full_width / full_height
    return 1 < height <= full_height and 1 < width <= full_width and abs(width - expected_width) <= 1


def integrated_gradients(network: Network, explained: Explained, *, max_steps: int) -> Maps:
    """Return (N, H, W) integrated gradients, summed over channels, and how complete each is.

    Source: Sundararajan et al. 2017, ICML. The path from the blurred image to the image is cut into pieces, and the
    attributions of the pieces add up to those of the path. The logit at both ends of a piece says how far the piece
    is from complete, so steps are added where they are lacking: the piece with the largest error is halved until the
    whole is complete within ``TOLERANCE`` or ``max_steps`` (16 or more) gradients are spent. Near the baseline networks
    are far from smooth, and equal steps along the whole path need several times as many.
    """
    ends = [network.logits(pixels) for pixels in (explained.baseline, explained.pixels)]
    at_baseline, at_image = (logits.gather(1, explained.target[:, None])[:, 0].tolist() for logits in ends)
    results = []
    for index in track(range(len(explained)), "Integrated gradients"):
        path = _Path(network, explained.pixels[index], explained.baseline[index], int(explained.target[index]))
        start, end = _Place(0.0, at_baseline[index]), _Place(1.0, at_image[index])
        results.append(path.integrate(start, end, max_steps))
    values, completeness = zip(*results, strict=True)
    return Maps("integrated_gradients", np.stack(values), completeness)


class _Place(NamedTuple):
    """A point of a path, from 0 (the baseline) to 1 (the image), and the logit there."""

    at: float
    logit: float


@dataclass(frozen=True, eq=False)
class _Piece:
    """A piece of a path, its (H, W) attribution, and how much that exceeds the change of the logit over the piece."""

    start: _Place
    end: _Place
    values: Tensor
    excess: float


@dataclass(frozen=True)
class _Path:
    """The straight path from the baseline to one image, both (3, H, W)."""

    network: Network
    image: Tensor
    baseline: Tensor
    target: int

    def integrate(self, start: _Place, end: _Place, max_steps: int) -> tuple[np.ndarray, Completeness]:
        """Return the (H, W) attribution; where no completeness error is defined, that of the first steps."""
        change = abs(end.logit - start.logit)
        defined = change > _NEGLIGIBLE * max(1.0, abs(end.logit))
        pieces, steps = self._attribute(start, end, _PIECES), _PIECES * _NODES
        while defined and _off(pieces) > TOLERANCE * change and steps + 2 * _NODES <= max_steps:
            worst = max(pieces, key=lambda piece: abs(piece.excess))
            pieces.remove(worst)
            pieces += self._attribute(worst.start, worst.end, 2)
            steps += 2 * _NODES
        error = _off(pieces) / change if defined else math.nan
        values = torch.stack([piece.values for piece in pieces]).sum(dim=0).numpy()
        return values, Completeness(steps, error if math.isfinite(error) else None)

    def _attribute(self, start: _Place, end: _Place, count: int) -> list[_Piece]:
        """Return the stretch between two places in ``count`` equal pieces."""
        places = np.linspace(start.at, end.at, count + 1).tolist()
        points = torch.stack([torch.lerp(self.baseline, self.image, place) for place in places])
        inner = self.network.logits(points[1:-1])[:, self.target].tolist()
        values = IntegratedGradients(self.network.model).attribute(
            self.network.place(points[1:]),
            self.network.place(points[:-1]),
            target=self.target,
            n_steps=_NODES,
            internal_batch_size=max(_CHUNK, count),
        )
        summed = values.detach().sum(dim=1).cpu()
        known = [_Place(*place) for place in zip(places, [start.logit, *inner, end.logit], strict=True)]
        return [_piece(*each) for each in zip(known[:-1], known[1:], summed, strict=True)]


def _piece(start: _Place, end: _Place, values: Tensor) -> _Piece:
    return _Piece(start, end, values, excess=float(values.double().sum()) - (end.logit - start.logit))


def _off(pieces: Sequence[_Piece]) -> float:
    return abs(sum(piece.excess for piece in pieces))
