"""A picture file as the upright RGB pixels of 8 bits a channel that every model is given, or the reason why not."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, TiffTags

from rft.errors import DataError

# Only plain raster formats: Pillow hands some others (EPS) to external programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF")
# What Pillow's decoders raise for damaged files, whatever the format.
DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, OverflowError, LookupError, AttributeError),
    *(struct.error, zlib.error),
)
SKIP = 'or set data.on_error = "skip" to leave such pictures out and count them.'

# How a picture is turned so that it stands upright, by the orientation tag of EXIF (CIPA DC-008, tag 274).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_TAGS = {tag.name: number for number, tag in TiffTags.TAGS_V2.items()}
_BITS, _PHOTOMETRIC = _TIFF_TAGS["BitsPerSample"], _TIFF_TAGS["PhotometricInterpretation"]
_WHITE_IS_ZERO = 0


def open_picture(path: Path, max_pixels: int) -> Image.Image:
    """Return a picture of which the header alone was read.

    Raises:
        DataError: when it is larger than ``max_pixels``, or its numbers do not say how bright they are.
    """
    picture = Image.open(path, formats=FORMATS)
    width, height = picture.size
    if width * height > max_pixels:  # known from the header, before any memory is taken for the pixels
        raise DataError(
            f"has {width} x {height} pixels; at most {max_pixels:,} are decoded",
            where=short(path),
            remedy="Scale it down, or raise data.max_pixels if you trust where it comes from.",
        )
    if picture.mode == "F" or (picture.mode == "I" and picture.format != "PPM"):
        kind = "decimal" if picture.mode == "F" else "signed or 32-bit whole"
        raise DataError(
            f"holds {kind} numbers, and nothing says which of them is white",
            where=short(path),
            remedy=f"Save it with 8 or 16 bits a pixel, scaled to their whole range, {SKIP}",
        )
    return picture


def upright_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture in RGB, turned as its orientation tag says; of several frames the first.

    16 bits a pixel are scaled by their depth (Pillow would clip them). Transparency is left out, as torchvision's and
    transformers' readers do. Metadata does not come along, so that a second call changes nothing.
    """
    turn = _TURNS.get(_orientation(picture))
    picture.load()
    # Pillow turns TIFF itself, when it is loaded.
    turned = picture if turn is None or picture.format == "TIFF" else picture.transpose(turn)
    rgb = (_eight_bits(turned, picture) if _is_deep(picture) else turned).convert("RGB")
    plain = rgb.copy() if rgb is picture else rgb
    plain.info = {}
    return plain


def short(path: Path) -> str:
    """Return the file and the folder it is in, enough to find it and no more than may stand in a report."""
    return f"{path.parent.name}/{path.name}"


def _orientation(picture: Image.Image) -> int:
    """Return the orientation tag alone: the rest of EXIF may be broken. 1, upright, where it cannot be read."""
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODING_ERRORS:  # EXIF without a readable beginning has no tag
        return 1
    return value if isinstance(value, int) else 1


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode == "I" or picture.mode.startswith("I;16")


def _eight_bits(turned: Image.Image, source: Image.Image) -> Image.Image:
    """Return a greyscale picture of up to 16 bits a pixel as one of 8, scaled by its depth."""
    tags = getattr(source, "tag_v2", {})
    white = 2 ** min(16, max(tags.get(_BITS, (16,)))) - 1
    values = np.minimum(np.asarray(turned).astype(np.uint32), white)
    grey = ((values * 255 + white // 2) // white).astype(np.uint8)
    return Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey)
