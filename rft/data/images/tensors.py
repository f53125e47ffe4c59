"""Images that the caller holds as tensors, prepared for a model already: read by row, and seen as pixels in [0, 1]."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rft.config.schema import DataConfig
from rft.data.decoders import Rows
from rft.data.images.geometry import Axis, ImageGeometry
from rft.records import ImagePreprocessingFacts, Split

RECIPE = "tensors in memory, prepared by the caller"


@dataclass(frozen=True)
class TensorPreprocessing:
    """What brings (C, H, W) tensors to pixels in [0, 1], and is taken back for the model: value = low + span * pixel.

    Attributes:
        shape: (C, H, W) of each.
        low, span: (C,) the lowest value of each channel, and from it to the highest; 0 and 1 where all lie in [0, 1].
    """

    shape: tuple[int, int, int]
    low: tuple[float, ...]
    span: tuple[float, ...]

    @classmethod
    def measure(cls, lowest: np.ndarray, highest: np.ndarray, shape: tuple[int, int, int]) -> TensorPreprocessing:
        """Return what suits tensors of a shape, given the (C,) lowest and highest values of their channels."""
        if lowest.min() >= 0 and highest.max() <= 1:
            return cls(shape, (0.0,) * len(lowest), (1.0,) * len(lowest))
        span = np.where(highest > lowest, highest - lowest, 1.0)
        return cls(shape, tuple(lowest.tolist()), tuple(span.tolist()))

    def facts(self) -> ImagePreprocessingFacts:
        """Return what stands in ``audit.json``; the hash is of pixels of made-up tensors."""
        made_up = torch.from_numpy(np.random.default_rng(0).standard_normal(self.shape).astype(np.float32))
        return ImagePreprocessingFacts(
            recipe=RECIPE,
            pixels=self.shape,
            mean=tuple(-low / span + 0.0 for low, span in zip(self.low, self.span, strict=True)),
            std=tuple(1 / span for span in self.span),
            pixels_sha256=hashlib.sha256(self.to_pixels(made_up).numpy().tobytes()).hexdigest(),
        )

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> TensorInputs:
        """Return the reader of these splits."""
        return TensorInputs(splits, self)

    def to_pixels(self, values: Tensor) -> Tensor:
        """Return (..., C, H, W) values as pixels in [0, 1]."""
        low, span = self._shape_like(values)
        return (values - low) / span

    def to_values(self, pixels: Tensor) -> Tensor:
        """Return (..., C, H, W) pixels in [0, 1] as the values that the model takes."""
        low, span = self._shape_like(pixels)
        return low + span * pixels

    def _shape_like(self, like: Tensor) -> tuple[Tensor, Tensor]:
        low, span = (torch.tensor(row, dtype=torch.float32, device=like.device) for row in (self.low, self.span))
        return low.view(-1, 1, 1), span.view(-1, 1, 1)


@dataclass(frozen=True)
class TensorInputs:
    """Gives the tensors of the splits as pixels; ``items`` of a split are (C, H, W) float32 tensors, read by number."""

    splits: Mapping[str, Split]
    preprocessing: TensorPreprocessing

    def geometry(self, split: str, row: int) -> ImageGeometry:
        """Return where an image stands in the pixels of its batch: it is all of them."""
        _, height, width = self.preprocessing.shape
        return ImageGeometry(Axis(0, width, 0.0, 1 / width), Axis(0, height, 0.0, 1 / height))

    def batch(self, split: str, rows: Rows) -> dict[str, Tensor]:
        """Return ``{"pixels": (B, C, H, W)}``, float32 in [0, 1], of the rows of a split, on the CPU."""
        return next(self.batches(self.splits[split].items, [rows]))

    def batches(self, items: Sequence[Any], batches: Sequence[Rows]) -> Iterator[dict[str, Tensor]]:
        """Yield a batch for each list of rows of ``items``."""
        for rows in batches:
            yield {"pixels": self.preprocessing.to_pixels(torch.stack([items[int(row)] for row in rows]))}
