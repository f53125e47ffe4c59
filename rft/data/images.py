"""Pictures: checked before they are decoded, decoded the way the backbone was trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from rft.errors import DataError
from rft.records import Split

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
# Only plain raster formats: Pillow hands some others (EPS) to external programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
DECODERS = 4  # threads; Pillow releases the interpreter lock while it decodes and resizes


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

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """Return the (crop, crop, 3) uint8 pixels of a picture."""
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        scaled = transforms.resize(upright, self.resize, InterpolationMode(self.interpolation))
        return np.asarray(transforms.center_crop(scaled, self.crop))


def is_picture(path: Path) -> bool:
    """Tell whether a file in a folder of pictures is one, by its suffix; hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def short(path: Path) -> str:
    """Return the file and the folder it is in, enough to find it and no more than may stand in a report."""
    return f"{path.parent.name}/{path.name}"


def digest(path: Path, max_pixels: int, *, decode: bool) -> str:
    """Return the sha256 of a picture file after a look at its header, or at all of it with ``decode``.

    Raises:
        DataError: when it is absent, no picture, damaged, or larger than ``max_pixels``.
    """
    with _naming(path):
        content = path.read_bytes()
        picture = _open(path, max_pixels)
        if decode:
            picture.load()
    return hashlib.sha256(content).hexdigest()


def pixels(path: Path, preprocessing: Preprocessing, max_pixels: int) -> np.ndarray:
    """Return the (crop, crop, 3) uint8 pixels of a picture file; raises ``DataError`` as ``digest`` does."""
    with _naming(path):
        return preprocessing(_open(path, max_pixels))


def _open(path: Path, max_pixels: int) -> Image.Image:
    picture = Image.open(path, formats=FORMATS)
    width, height = picture.size
    if width * height > max_pixels:  # known from the header, before any memory is taken for the pixels
        raise DataError(
            f"has {width} x {height} pixels; at most {max_pixels:,} are decoded",
            where=short(path),
            remedy="Scale it down, or raise data.max_pixels if you trust where it comes from.",
        )
    return picture


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
        if isinstance(error, (OSError, SyntaxError, ValueError, EOFError)):
            raise DataError(
                f"cannot be read as a picture: {str(error).splitlines()[0] if str(error) else kind}",
                where=short(self.path),
                remedy='Mend or remove it, or set data.on_error = "skip" to leave such pictures out and count them.',
            ) from None


@dataclass(frozen=True)
class ImageInputs:
    """Reads the pictures of the splits as the backbone wants them."""

    splits: Mapping[str, Split]
    preprocessing: Preprocessing
    max_pixels: int

    def batch(self, split: str, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Return a (B, 3, crop, crop) float32 tensor in [0, 1] of the rows of a split, on the CPU."""
        return next(self.batches(self.splits[split].items, [rows]))

    def batches(self, items: Sequence[Path], batches: Iterable[Sequence[int] | np.ndarray]) -> Iterator[torch.Tensor]:
        """Yield a tensor for each batch of rows of ``items``; the next one is decoded while the caller computes."""
        with ThreadPoolExecutor(DECODERS) as pool:
            waiting = iter(batches)
            queue = [self._submit(pool, items, rows) for rows in islice(waiting, 2)]
            while queue:
                decoded = [future.result() for future in queue.pop(0)]
                queue += [self._submit(pool, items, rows) for rows in islice(waiting, 1)]
                stacked = torch.from_numpy(np.stack(decoded))
                yield stacked.permute(0, 3, 1, 2).float().div_(255)

    def _submit(self, pool: ThreadPoolExecutor, items: Sequence[Path], rows: Sequence[int] | np.ndarray) -> list:
        return [pool.submit(pixels, items[row], self.preprocessing, self.max_pixels) for row in rows]
