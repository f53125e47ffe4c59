"""A mark that is given as a small picture: read from its file, or refused with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rft.data.file_source import short_path
from rft.data.images.decoding import DECODING_ERRORS, open_image, unreadable_image, upright_rgb
from rft.errors import ConfigError, DataError

MAX_SIDE = 1024  # px: a mark is a detail of a picture
_MOST_PIXELS = 2**31  # the side is the limit, and its error says so
_REMEDY = "Give a small picture of the mark alone, as PNG or JPEG."


@dataclass(frozen=True)
class Patch:
    """A small picture.

    Attributes:
        colours: (3, h, w) float32 in [0, 1].
        opacity: (1, h, w) float32 in [0, 1]; 0 where it is transparent.
    """

    colours: Tensor
    opacity: Tensor


def read_patch(path: str, where: str) -> Patch:
    """Return the patch in a file.

    Args:
        path: of the file.
        where: the key of the config that names it, for errors.

    Raises:
        ConfigError: when there is no such file, or it cannot be read as an image, is larger than ``MAX_SIDE`` a side or
            transparent everywhere.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(
            f"no such file: {short_path(file)!r}", where=where, remedy="Its path is relative to the config."
        )
    try:
        image = open_image(file, _MOST_PIXELS)
        if max(image.size) > MAX_SIDE:
            width, height = image.size
            raise ConfigError(
                f"{short_path(file)!r} has {width} x {height} px, and a patch at most {MAX_SIDE:,} a side",
                where=where,
                remedy=_REMEDY,
            )
        opacity = _read_opacity(image)
        colours = upright_rgb(image)
    except DataError as error:
        raise ConfigError(f"{short_path(file)!r} {error.what}", where=where, remedy=_REMEDY) from None
    except DECODING_ERRORS as error:
        raise ConfigError(
            f"{short_path(file)!r} {unreadable_image(file, error).what}", where=where, remedy=_REMEDY
        ) from None
    if opacity is not None and opacity.getextrema() == (0, 0):
        raise ConfigError(f"{short_path(file)!r} is transparent everywhere", where=where, remedy=_REMEDY)
    pixels = _to_tensor(colours)
    return Patch(pixels, torch.ones_like(pixels[:1]) if opacity is None else _to_tensor(opacity)[:1])


def _read_opacity(image: Image.Image) -> Image.Image | None:
    """Return how opaque each pixel is, upright like the colours; None where all of them are."""
    if not image.has_transparency_data:
        return None
    image.load()
    opacity = image.convert("RGBA").getchannel("A")
    opacity.info = dict(image.info)
    return upright_rgb(opacity).getchannel(0)


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
