"""Class activation maps in closed form, of a head that is linear in the mean of the last map.

Source: Zhou et al. 2016, CVPR. Where the logits are ``W m + b`` of the mean ``m`` of the (C, h, w) map ``A``, a cell of
it contributes ``W A[:, i, j] / (h w)`` to them, and these contributions sum to the logits without the bias. The same
holds of a head that first scales ``m`` to one length: all cells of an image are then divided by the length of ``m``.

Whether a head is such a one is not told by its name, but measured: weights and bias are read off the network's answers
to one map, and must foretell its answers to other maps that were disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.errors import Unavailable
from rft.plugins.attribution.images.explained import ExplainedBatch
from rft.plugins.attribution.images.map_layer import FromMap, MapLayer
from rft.plugins.attribution.network import Network

LINEARITY_TOLERANCE = 1e-4  # of the largest logit: how far foretold logits, and the sum of a map, may be off


@dataclass(frozen=True)
class PooledHead:
    """What follows a map: ``weights @ mean + bias``, of the map's mean as it is, or scaled to length 1.

    Attributes:
        weights: (K, C) float64.
        bias: (K,) float64.
        scales: whether it reads the mean scaled to length 1.
    """

    weights: Tensor
    bias: Tensor
    scales: bool

    @classmethod
    def read(cls, network: Network, layer: MapLayer, pixels: Tensor) -> PooledHead:
        """Read the head off the network's answers to the maps of (B, 3, H, W) images, and check it on disturbed ones.

        Raises:
            Unavailable: when it foretells the logits of disturbed maps worse than ``LINEARITY_TOLERANCE``.
        """
        function = FromMap(network, layer, pixels)
        maps = function.read_maps()
        with torch.no_grad():
            plain, opposite, doubled = (function(factor * maps).cpu().double() for factor in (1, -1, 2))
        bias = (plain + opposite).mean(dim=0) / 2
        unchanged, grown = ((doubled - bias - factor * (plain - bias)).abs().max() for factor in (1, 2))
        slopes = _read_slopes(network, layer, pixels[:1])
        head = cls._complete(slopes, maps[0].cpu().double().mean(dim=(1, 2)), plain[0], bias, bool(unchanged < grown))
        head._check(function, maps, layer)
        return head

    @classmethod
    def _complete(cls, slopes: Tensor, mean: Tensor, logits: Tensor, bias: Tensor, scales: bool) -> PooledHead:
        """Return the head from its (K, C) slopes at a (C,) mean.

        Slopes of a head that scales its input are those of ``weights`` across the mean, over its length: nothing
        changes along it, and what the weights are along it follows from the logits.
        """
        if not scales:
            return cls(slopes, bias, scales)
        length = mean.norm()
        return cls(length * slopes + torch.outer(logits - bias, mean / length), bias, scales)

    def logits(self, means: Tensor) -> Tensor:
        """Return (B, K) logits of maps whose (B, C) means these are."""
        return means.cpu().double() / self._divisors(means)[:, None] @ self.weights.T + self.bias

    def contributions(self, maps: Tensor, target: Tensor) -> Tensor:
        """Return (B, h, w) what each cell of (B, C, h, w) maps adds to the logit of class ``target`` (B,), float64."""
        cells = torch.einsum("bc,bchw->bhw", self.weights[target], maps.cpu().double())
        return cells / self._divisors(maps.mean(dim=(2, 3)))[:, None, None] / maps[0, 0].numel()

    def _divisors(self, means: Tensor) -> Tensor:
        return means.cpu().double().norm(dim=1) if self.scales else torch.ones(len(means), dtype=torch.float64)

    def _check(self, function: FromMap, maps: Tensor, layer: MapLayer) -> None:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(maps.shape, generator=generator).to(maps) * maps.std()
        for disturbed in (maps.flip(0), maps + noise, maps.flip(3) * (1 + noise / maps.std())):
            with torch.no_grad():
                logits = function(disturbed).cpu().double()
            off = (self.logits(disturbed.mean(dim=(2, 3))) - logits).abs().max()
            if not off <= LINEARITY_TOLERANCE * logits.abs().max():
                raise Unavailable(f"what follows the map at {layer.name} is not linear in its mean")


@dataclass(frozen=True)
class ClassActivation:
    """Class activation maps of a network, whose head was read off at a layer."""

    layer: MapLayer
    head: PooledHead
    name: str = "class_activation"

    @property
    def layer_name(self) -> str:
        """The layer."""
        return self.layer.name

    @classmethod
    def fit(cls, network: Network, layer: MapLayer, pixels: Tensor) -> ClassActivation:
        """Return the method for a network; raises as ``PooledHead.read``, which (B, 3, H, W) images are for."""
        return cls(layer, PooledHead.read(network, layer, pixels))

    def refit(self, network: Network, pixels: Tensor) -> ClassActivation:
        """Return the same for a network of the same modules with other weights."""
        return ClassActivation.fit(network, self.layer, pixels)

    def map_images(self, network: Network, batch: ExplainedBatch) -> np.ndarray:
        """Return (B, h, w) maps: signed, and with the bias they sum to the logit.

        Raises:
            Unavailable: when the sum of one is off from the network's own logit by more than ``LINEARITY_TOLERANCE``
                of the largest.
        """
        function = FromMap(network, self.layer, batch.pixels)
        maps, logits = function.read_maps_and_logits()
        contributions = self.head.contributions(maps, batch.target)
        summed = contributions.sum(dim=(1, 2)) + self.head.bias[batch.target]
        off = (summed - logits.cpu().double().gather(1, batch.target[:, None]).squeeze(1)).abs()
        if (off > LINEARITY_TOLERANCE * logits.abs().nan_to_num(0, 0).max().item()).any():  # one of NaN is unsound
            raise Unavailable(f"the maps at {self.layer.name} do not sum to the logits of their images")
        values: np.ndarray = contributions.float().numpy()
        return values


def _read_slopes(network: Network, layer: MapLayer, pixels: Tensor) -> Tensor:
    """Return (K, C) how the logits of one image change with the mean of its map, float64."""
    function = FromMap(network, layer, pixels)
    maps = function.read_maps().requires_grad_()
    logits = function(maps)[0]
    slopes = [torch.autograd.grad(logit, maps, retain_graph=True)[0][0].cpu().double() for logit in logits]
    return torch.stack([slope.sum(dim=(1, 2)) for slope in slopes])
