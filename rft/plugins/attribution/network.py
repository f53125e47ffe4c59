"""The audited classifier as attribution uses it: in eval mode, on its device, in batches. Nothing is changed in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rft.errors import Unavailable

if TYPE_CHECKING:
    from rft.backbones import Classifier

BATCH = 16  # forward passes; larger batches fall out of a CPU's cache and are slower


@dataclass(frozen=True)
class Network:
    """A classifier and the device it lives on.

    Raises:
        Unavailable: when a part of the model is in training mode. Dropout and batch statistics would then make the
            output depend on chance and on the other images of a batch, and no attribution would be complete.
    """

    model: Classifier
    device: str

    def __post_init__(self) -> None:
        if any(module.training for module in self.model.modules()):
            raise Unavailable("the model is in training mode, in which attributions are not defined")

    def place(self, pixels: Tensor) -> Tensor:
        """Return (B, 3, H, W) pixels on the device, in the memory layout that convolutions are fastest in."""
        layout = torch.contiguous_format if self.device.startswith("mps") else torch.channels_last
        return pixels.to(self.device).contiguous(memory_format=layout)

    def logits(self, pixels: Tensor) -> Tensor:
        """Return (N, K) logits of (N, 3, H, W) pixels, on the CPU, without gradients."""
        with torch.no_grad():
            return torch.cat([self.model(self.place(batch)).float().cpu() for batch in pixels.split(BATCH)])

    def probabilities(self, pixels: Tensor, target: Tensor) -> Tensor:
        """Return (N,) the probability of class ``target`` (N,) for each image."""
        return self.logits(pixels).double().softmax(dim=1).gather(1, target[:, None]).squeeze(1)


def batches(count: int, size: int = BATCH) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
