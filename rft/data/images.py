"""Pictures: checked before they are decoded, decoded the way the backbone was trained.

torchvision is imported where it is used: it takes two seconds to import, which a run on texts can do without.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from rft.config import DataConfig
from rft.data.decoding import DECODING_ERRORS, open_picture, short, unreadable, upright_rgb
from rft.errors import DataError
from rft.records import Split

SCALE, RATIO = (0.5, 1.0), (3 / 4, 4 / 3)  # share of the picture and proportions that an augmented view shows
DECODERS = 4  # threads; Pillow releases the interpreter lock while it decodes and resizes

Rows = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a backbone.

    Attributes:
        resize: the shorter side is scaled to this many pixels.
        crop: side of the square that is cut from the centre, in pixels.
        interpolation: ``bilinear`` or ``bicubic``.
        mean, std: per channel, for values in [0, 1]; applied by the model itself.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def facts(self) -> dict[str, Any]:
        """Return what stands in ``audit.json`` and ``model.json``."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> ImageInputs:
        """Return the reader of pictures for these splits."""
        return ImageInputs(splits, self, config.max_pixels, seed)

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """Return the (crop, crop, 3) uint8 pixels of a picture."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms import functional as transforms

        scaled = transforms.resize(upright_rgb(picture), self.resize, InterpolationMode(self.interpolation))
        return np.asarray(transforms.center_crop(scaled, self.crop))


def digest(path: Path, max_pixels: int, *, decode: bool) -> str:
    """Return the sha256 of a picture file after a look at its header, or at all of it with ``decode``.

    Raises:
        DataError: when it is absent, no picture, damaged, or larger than ``max_pixels``.
    """
    with _naming(path):
        content = path.read_bytes()
        picture = open_picture(path, max_pixels)
        if decode:
            upright_rgb(picture)
    return hashlib.sha256(content).hexdigest()


def pixels(path: Path, preprocessing: Preprocessing, max_pixels: int) -> np.ndarray:
    """Return the (crop, crop, 3) uint8 pixels of a picture file; raises ``DataError`` as ``digest`` does."""
    with _naming(path):
        return preprocessing(open_picture(path, max_pixels))


class _naming:
    """Turn what Pillow raises for a bad file into an error that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise DataError(
                "no such picture", where=short(self.path), remedy="Paths of pictures are relative to their manifest."
            ) from None
        if isinstance(error, Image.DecompressionBombError):
            raise DataError("has too many pixels to be decoded", where=short(self.path)) from None
        if isinstance(error, DECODING_ERRORS):
            raise unreadable(self.path, error) from None


@dataclass(frozen=True)
class ImageInputs:
    """Reads the pictures of the splits as the backbone wants them.

    ``seed`` keys the augmentation: what a view looks like follows from the picture's content, its number and the seed.
    """

    splits: Mapping[str, Split]
    preprocessing: Preprocessing
    max_pixels: int
    seed: int = 0

    @property
    def augmentation(self) -> dict[str, Any]:
        """What the look of a view depends on beside the picture."""
        return {"seed": self.seed, "scale": SCALE, "ratio": RATIO, "flip": 0.5}

    def batch(self, split: str, rows: Rows, views: Rows | None = None) -> dict[str, torch.Tensor]:
        """Return ``{"pixels": (B, 3, crop, crop)}``, float32 in [0, 1], of the rows of a split, on the CPU."""
        return next(self.batches(self.splits[split].items, [rows], None if views is None else [views]))

    def batches(
        self, items: Sequence[Path], batches: Sequence[Rows], views: Sequence[Rows] | None = None
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Yield a batch for each list of rows of ``items``; the next one is decoded while the caller computes.

        Args:
            items: paths of pictures.
            batches: rows of ``items``, a list for each batch.
            views: for each row its view: 0 is the plain picture, others are cropped and mirrored by chance.
        """
        plain = [np.zeros(len(rows), np.int64) for rows in batches] if views is None else views
        with ThreadPoolExecutor(DECODERS) as pool:
            waiting = iter(zip(batches, plain, strict=True))
            queue = [self._submit(pool, items, *each) for each in islice(waiting, 2)]
            while queue:
                decoded = [future.result() for future in queue.pop(0)]
                queue += [self._submit(pool, items, *each) for each in islice(waiting, 1)]
                stacked = torch.from_numpy(np.stack(decoded))
                yield {"pixels": stacked.permute(0, 3, 1, 2).float().div_(255)}

    def _submit(self, pool: ThreadPoolExecutor, items: Sequence[Path], rows: Rows, views: Rows) -> list:
        return [pool.submit(self._pixels, items[row], int(view)) for row, view in zip(rows, views, strict=True)]

    def _pixels(self, path: Path, view: int) -> np.ndarray:
        if view == 0:
            return pixels(path, self.preprocessing, self.max_pixels)
        with _naming(path):
            key = hashlib.sha256(path.read_bytes() + f" {view} {self.seed}".encode()).digest()
            return augmented(open_picture(path, self.max_pixels), self.preprocessing, np.random.default_rng(list(key)))


def augmented(picture: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator) -> np.ndarray:
    """Return (crop, crop, 3) uint8 pixels of a random part of a picture, or its mirror (Szegedy et al. 2015, CVPR)."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as transforms

    upright = upright_rgb(picture)
    area = upright.width * upright.height * rng.uniform(*SCALE)
    ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    width = min(upright.width, max(1, round(math.sqrt(area * ratio))))
    height = min(upright.height, max(1, round(math.sqrt(area / ratio))))
    left, top = int(rng.integers(upright.width - width + 1)), int(rng.integers(upright.height - height + 1))
    side, mode = [preprocessing.crop] * 2, InterpolationMode(preprocessing.interpolation)
    part = transforms.resized_crop(upright, top, left, height, width, side, mode)
    return np.asarray(ImageOps.mirror(part) if rng.random() < 0.5 else part)
