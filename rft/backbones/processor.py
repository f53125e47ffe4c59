"""Pictures prepared by the image processor that was saved with a checkpoint, whatever it does to their geometry.

Processors resize, crop and squash in many ways, and end with a normalisation. They are run as they are; then the
normalisation is taken back, so that pictures are pixels in [0, 1] here as everywhere, and the model begins with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from rft.config import DataConfig
from rft.data.decoding import upright_rgb
from rft.data.images import ImageInputs
from rft.errors import ModelError
from rft.records import Split

TRIED = ((60, 90), (90, 60))  # width and height of the pictures that a processor is tried on
EVEN = 1e-4  # how far the pixels of a picture of one colour may differ after normalisation


@dataclass(frozen=True)
class Processor:
    """An image processor of transformers: normalised value = offset + scale * pixel, for pixels in [0, 1].

    Attributes:
        processor: the processor itself.
        offset, scale: (3,) for each channel.
        size: height and width of what it gives.
    """

    processor: Any
    offset: np.ndarray
    scale: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, processor: Any, where: str) -> Processor:
        """Find out what a processor does; raises ``ModelError`` for one that rft cannot follow."""
        black, white = ([_run(processor, Image.new("RGB", size, (v, v, v))) for size in TRIED] for v in (0, 255))
        shapes = {each.shape for each in black}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 3 or shape[0] != 3:
            raise ModelError("its image processor does not give pictures of three channels and one size", where=where)
        offset, scale = black[0].mean(axis=(1, 2)), white[0].mean(axis=(1, 2)) - black[0].mean(axis=(1, 2))
        uneven = max(float(np.ptp(each, axis=(1, 2)).max()) for each in (*black, *white))
        if uneven > EVEN or not (scale > 0).all():
            raise ModelError("its image processor does more than resize, crop and normalise", where=where)
        return cls(processor, offset, scale, (shape[1], shape[2]))

    @property
    def mean(self) -> list[float]:
        """For each channel, what is subtracted from pixels in [0, 1]."""
        return (-self.offset / self.scale).tolist()

    @property
    def std(self) -> list[float]:
        """For each channel, what is then divided by."""
        return (1 / self.scale).tolist()

    def facts(self) -> dict[str, Any]:
        """Return what the inputs depend on beside the picture."""
        return self.processor.to_dict()

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> ImageInputs:
        """Return the reader of pictures for these splits."""
        return ImageInputs(splits, self, config.max_pixels, seed)  # type: ignore[arg-type]  # called like a Preprocessing

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """Return the (height, width, 3) uint8 pixels of a picture."""
        values = _run(self.processor, upright_rgb(picture))
        pixels = (values - self.offset[:, None, None]) / self.scale[:, None, None] * 255
        return np.ascontiguousarray(np.rint(pixels).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def _run(processor: Any, picture: Image.Image) -> np.ndarray:
    """Return the (3, H, W) values that a model of transformers would be given."""
    return np.asarray(processor(images=picture, return_tensors="np")["pixel_values"][0], np.float64)
