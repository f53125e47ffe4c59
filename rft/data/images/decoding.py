"""An image file as the upright RGB pixels of 8 bits a channel that every model is given, or the reason why not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, TiffTags, UnidentifiedImageError

from rft.config.item_files import IMAGE_FILES
from rft.data.file_source import FileSource, short_path
from rft.errors import DataError

# Only plain raster formats: Pillow hands some others (EPS) to external programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF")
# The first bytes of files that are often taken for images that can be read: (from which byte on, bytes, what it is).
_FOREIGN = (
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")),
    *((0, start, "JPEG XL") for start in (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    *((0, start, "JPEG 2000") for start in (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    *((0, start, "SVG") for start in (b"<svg", b"<?xml")),
    *((0, start, "HTML") for start in (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML")),
    *((0, b"%PDF", "PDF"), (0, b"8BPS", "Photoshop"), (128, b"DICM", "DICOM")),
)
CONVERT = "Convert it to JPEG or PNG, for example with `magick mogrify -format jpg FILES`"
# What Pillow's decoders raise for damaged files, whatever the format.
DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, OverflowError, LookupError, AttributeError, RuntimeError),
    *(struct.error, zlib.error),
)
SKIP = 'or set data.on_error = "skip" to leave such images out and count them.'

# How an image is turned so that it stands upright, by the orientation tag of EXIF (CIPA DC-008, tag 274).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height
_TIFF_TAGS = {tag.name: number for number, tag in TiffTags.TAGS_V2.items()}
_BITS, _PHOTOMETRIC = _TIFF_TAGS["BitsPerSample"], _TIFF_TAGS["PhotometricInterpretation"]
_WHITE_IS_ZERO = 0


def open_image(path: FileSource, max_pixels: int) -> Image.Image:
    """Return an image of which the header alone was read.

    Raises:
        DataError: when its suffix is of a kind that is not read, when it is larger than ``max_pixels``, or when its
            numbers do not say how bright they are.
    """
    if isinstance(path, Path) and path.suffix.lower() in IMAGE_FILES.unread and path.is_file():
        raise _of_foreign_kind(path, _kind_by_suffix(path))
    image = Image.open(path if isinstance(path, Path) else io.BytesIO(path.read_bytes()), formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:  # known from the header, before any memory is taken for the pixels
        raise DataError(
            f"has {width} x {height} pixels; at most {max_pixels:,} are decoded",
            where=short_path(path),
            remedy="Scale it down, or raise data.max_pixels if you trust where it comes from.",
        )
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        kind = "decimal" if image.mode == "F" else "signed or 32-bit whole"
        raise DataError(
            f"holds {kind} numbers, and nothing says which of them is white",
            where=short_path(path),
            remedy=f"Save it with 8 or 16 bits a pixel, scaled to their whole range, {SKIP}",
        )
    return image


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB, turned as its orientation tag says; of several frames the first.

    16 bits a pixel are scaled by their depth (Pillow would clip them). Transparency is left out, as torchvision's and
    transformers' readers do. Metadata does not come along, so that a second call changes nothing.
    """
    turn = _TURNS.get(_read_orientation(image))
    image.load()
    # Pillow turns TIFF itself, when it is loaded.
    turned = image if turn is None or image.format == "TIFF" else image.transpose(turn)
    rgb = (_eight_bits(turned, image) if _is_deep(image) else turned).convert("RGB")
    plain = rgb.copy() if rgb is image else rgb
    plain.info = {}
    return plain


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of ``upright_rgb(image)``, from the header alone where the format allows it."""
    if image.format == "TIFF":  # turned by Pillow, in some releases only when it is loaded
        image.load()
        return image.size
    width, height = image.size
    return (height, width) if _read_orientation(image) in _SIDEWAYS else (width, height)


def unreadable_image(path: FileSource, error: BaseException) -> DataError:
    """Return the error that names a file that cannot be read as an image, says what it is, and what helps."""
    if kind := _foreign_kind(path):
        return _of_foreign_kind(path, kind)
    if isinstance(error, UnidentifiedImageError):
        why = "it is empty" if not path.read_bytes() else "it is of no kind that is read"
    else:  # the message of an OSError may hold the whole path
        why = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(
        f"cannot be read as an image: {why}", where=short_path(path), remedy=f"Mend, convert or remove it, {SKIP}"
    )


def _of_foreign_kind(path: FileSource, kind: str) -> DataError:
    return DataError(f"is of the kind {kind}, which is not read", where=short_path(path), remedy=f"{CONVERT}, {SKIP}")


def _kind_by_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return "HEIC" if suffix in (".heic", ".heif", ".hif") else suffix.removeprefix(".").upper()


def _foreign_kind(path: FileSource) -> str | None:
    """Return what kind of file that is not read this is, by its first bytes."""
    try:
        begin = path.read_bytes()[:160]
    except OSError:
        return None
    return next((kind for place, start, kind in _FOREIGN if begin[place : place + len(start)] == start), None)


def _read_orientation(image: Image.Image) -> int:
    """Return the orientation tag alone: the rest of EXIF may be broken. 1, upright, where it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODING_ERRORS:  # EXIF without a readable beginning has no tag
        return 1
    return value if isinstance(value, int) else 1


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _eight_bits(turned: Image.Image, source: Image.Image) -> Image.Image:
    """Return a greyscale image of up to 16 bits a pixel as one of 8, scaled by its depth."""
    tags = getattr(source, "tag_v2", {})
    white = 2 ** min(16, max(tags.get(_BITS, (16,)))) - 1
    values = np.minimum(np.asarray(turned).astype(np.uint32), white)
    grey = ((values * 255 + white // 2) // white).astype(np.uint8)
    return Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey)
