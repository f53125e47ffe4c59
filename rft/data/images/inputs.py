"""Images: checked before they are decoded, and read in batches as their preprocessing wants them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps

from rft.data.decoders import Rows, open_decoders
from rft.data.file_source import FileSource, absent_file, short_path
from rft.data.images.decoding import (
    DECODING_ERRORS,
    open_image,
    unreadable_image,
    upright_rgb,
    upright_size,
)
from rft.data.images.geometry import ImageGeometry, measure_geometry
from rft.errors import DataError
from rft.records import Split

SCALE, RATIO = (0.5, 1.0), (3 / 4, 4 / 3)  # share of the image and proportions that an augmented view shows


@dataclass(frozen=True)
class Augmentation:
    """What the look of a view depends on beside the picture.

    Attributes:
        seed: keys the parts that are shown.
        scale: share of the picture that a part may have, from least to most.
        ratio: of its width to its height, likewise.
        flip: probability of its mirror.
    """

    seed: int
    scale: tuple[float, float] = SCALE
    ratio: tuple[float, float] = RATIO
    flip: float = 0.5


class PreparesImages(Protocol):
    """What makes pixels of an image: ``rft.data.images.preprocessing.ImagePreprocessing``."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the (H, W, C) pixels of an image: uint8, or float32 in [0, 1]."""

    def augmented_view(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """Return the (H, W, C) pixels of an augmented view of an image."""


def digest_image(path: FileSource, max_pixels: int, *, decode: bool) -> str:
    """Return the sha256 of an image file after a look at its header, or at all of it with ``decode``.

    Raises:
        DataError: when it is absent, no image, damaged, or larger than ``max_pixels``.
    """
    with _naming(path):
        content = path.read_bytes()
        image = open_image(path, max_pixels)
        if decode:
            upright_rgb(image)
    return hashlib.sha256(content).hexdigest()


def read_pixels(path: FileSource, preprocessing: PreparesImages, max_pixels: int) -> np.ndarray:
    """Return the (H, W, C) pixels of an image file, prepared; raises ``DataError`` as ``digest_image`` does."""
    with _naming(path):
        return preprocessing(open_image(path, max_pixels))


def read_size(path: FileSource, max_pixels: int) -> tuple[int, int]:
    """Return width and height of an image file, upright; raises ``DataError`` as ``digest_image`` does."""
    with _naming(path):
        return upright_size(open_image(path, max_pixels))


class _naming:
    """Turn what Pillow raises for a bad file into an error that names the file."""

    def __init__(self, path: FileSource) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise absent_file(self.path, "image") from None
        if isinstance(error, Image.DecompressionBombError):
            raise DataError("has too many pixels to be decoded", where=short_path(self.path)) from None
        if isinstance(error, DECODING_ERRORS):
            raise unreadable_image(self.path, error) from None


@dataclass(frozen=True)
class ImageInputs:
    """Reads the images of the splits as the backbone wants them.

    ``seed`` keys the augmentation: what a view looks like follows from the image's content, its number and the seed.
    """

    splits: Mapping[str, Split]
    preprocessing: PreparesImages
    max_pixels: int
    seed: int = 0
    _geometries: dict[tuple[int, int], ImageGeometry] = field(default_factory=dict, compare=False, repr=False)

    @property
    def augmentation(self) -> Augmentation:
        """What the look of a view depends on beside the image."""
        return Augmentation(self.seed)

    def batch(self, split: str, rows: Rows, views: Rows | None = None) -> dict[str, torch.Tensor]:
        """Return ``{"pixels": (B, C, H, W)}``, float32 in [0, 1], of the rows of a split, on the CPU."""
        return next(self.batches(self.splits[split].items, [rows], None if views is None else [views]))

    def geometry(self, split: str, row: int) -> ImageGeometry:
        """Return where an image of a split stands in the pixels of its batch; raises as ``measure_geometry`` does."""
        size = read_size(self.splits[split].items[row], self.max_pixels)
        if size not in self._geometries:
            self._geometries[size] = measure_geometry(self.preprocessing, size)
        return self._geometries[size]

    def batches(
        self, items: Sequence[FileSource], batches: Sequence[Rows], views: Sequence[Rows] | None = None
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Yield a batch for each list of rows of ``items``; the next one is decoded while the caller computes.

        Args:
            items: paths of images.
            batches: rows of ``items``, a list for each batch.
            views: for each row its view: 0 is the plain image, others are cropped and mirrored by chance.
        """
        plain = [np.zeros(len(rows), np.int64) for rows in batches] if views is None else views
        with open_decoders() as pool:
            waiting = iter(zip(batches, plain, strict=True))
            queue = [self._submit_batch(pool, items, *request) for request in islice(waiting, 2)]
            while queue:
                decoded = [future.result() for future in queue.pop(0)]
                queue += [self._submit_batch(pool, items, *request) for request in islice(waiting, 1)]
                yield {"pixels": to_tensor(decoded)}

    def _submit_batch(
        self, pool: ThreadPoolExecutor, items: Sequence[FileSource], rows: Rows, views: Rows
    ) -> list[Future[np.ndarray]]:
        return [pool.submit(self._read_view, items[row], int(view)) for row, view in zip(rows, views, strict=True)]

    def _read_view(self, path: FileSource, view: int) -> np.ndarray:
        if view == 0:
            return read_pixels(path, self.preprocessing, self.max_pixels)
        with _naming(path):
            key = hashlib.sha256(path.read_bytes() + f" {view} {self.seed}".encode()).digest()
            return self.preprocessing.augmented_view(
                open_image(path, self.max_pixels), np.random.default_rng(list(key))
            )


def to_tensor(decoded: Sequence[np.ndarray]) -> torch.Tensor:
    """Return (B, C, H, W) float32 pixels in [0, 1] of B images, each (H, W, C), uint8 or float32 in [0, 1]."""
    if all(image.dtype == np.uint8 for image in decoded):
        return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).float().div_(255)
    scaled = [np.float32(image) / 255 if image.dtype == np.uint8 else image for image in decoded]
    return torch.from_numpy(np.stack(scaled)).permute(0, 3, 1, 2).contiguous()


def random_part(
    upright: Image.Image, size: tuple[int, int], resample: Image.Resampling, rng: np.random.Generator
) -> Image.Image:
    """Return a random part of an image, or its mirror, scaled to a height and width (Szegedy et al. 2015, CVPR)."""
    area = upright.width * upright.height * rng.uniform(*SCALE)
    ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    width = min(upright.width, max(1, round(math.sqrt(area * ratio))))
    height = min(upright.height, max(1, round(math.sqrt(area / ratio))))
    left, top = int(rng.integers(upright.width - width + 1)), int(rng.integers(upright.height - height + 1))
    part = upright.crop((left, top, left + width, top + height)).resize(size[::-1], resample)
    return ImageOps.mirror(part) if rng.random() < 0.5 else part
