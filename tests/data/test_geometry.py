"""Where an image stands in a model's input: measured, and the same as the arithmetic of each pipeline says."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from torchvision import transforms

from rft.data.images.decoding import upright_rgb, upright_size
from rft.data.images.geometry import Box, measure_geometry
from rft.data.images.preprocessing import ImagePreprocessing, plain_preprocessing
from rft.errors import Unavailable

Step = Callable[[Image.Image], Image.Image]


def preprocess_by(*steps: Step) -> ImagePreprocessing:
    values = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.2,) * 3)])
    return ImagePreprocessing.measure(lambda image: np.asarray(values(image)), {"recipe": "test"}, "model")


def pad_to_square(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, (64, 64), color=(90, 90, 90))


CUT = preprocess_by(transforms.Resize(40), transforms.CenterCrop(32))
SQUASHED = preprocess_by(transforms.Resize((48, 32)))
PADDED = preprocess_by(pad_to_square)
NEAREST = preprocess_by(transforms.Resize((32, 32), transforms.InterpolationMode.NEAREST))


@pytest.mark.parametrize(
    ("preprocessing", "size", "expected"),
    [
        # 300 x 200 becomes 60 x 40, of which the middle 32 x 32 stay
        (CUT, (300, 200), (14 / 60, 4 / 40, 46 / 60, 36 / 40)),
        (CUT, (200, 300), (4 / 40, 14 / 60, 36 / 40, 46 / 60)),
        (CUT, (1200, 800), (14 / 60, 4 / 40, 46 / 60, 36 / 40)),
        (CUT, (40, 40), (4 / 40, 4 / 40, 36 / 40, 36 / 40)),
        (SQUASHED, (300, 200), (0, 0, 1, 1)),
        (SQUASHED, (20, 90), (0, 0, 1, 1)),
        (PADDED, (300, 150), (0, 0, 1, 1)),
        (NEAREST, (100, 60), (0, 0, 1, 1)),
        # torchvision rounds 58.5 pixels to 58
        (
            plain_preprocessing(256, 224, "bicubic", (0.5,) * 3, (0.5,) * 3),
            (1000, 750),
            (58 / 341, 1 / 16, 282 / 341, 15 / 16),
        ),
    ],
)
def test_what_the_model_sees(preprocessing: ImagePreprocessing, size: tuple[int, int], expected: Box) -> None:
    np.testing.assert_allclose(measure_geometry(preprocessing, size).visible, expected, atol=0.003)


@pytest.mark.parametrize("preprocessing", [CUT, SQUASHED, PADDED, NEAREST])
@pytest.mark.parametrize("size", [(300, 200), (120, 260), (97, 97)])
def test_a_marked_box_comes_out_where_it_was_measured(preprocessing: ImagePreprocessing, size: tuple[int, int]) -> None:
    box = Box(0.4, 0.3, 0.7, 0.6)
    image = Image.new("RGB", size)
    edges = [round(share * side) for share, side in zip(box, size * 2, strict=True)]
    image.paste((255, 255, 255), tuple(edges))
    marked = preprocessing(image)[:, :, 0] > 127
    rows, columns = measure_geometry(preprocessing, size).pixel_slices(box)
    expected = np.zeros_like(marked)
    expected[rows, columns] = True
    outline = np.zeros_like(marked)
    outline[max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1] = True
    outline[rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = False
    geometry = measure_geometry(preprocessing, size)
    padding = np.ones_like(marked)
    padding[geometry.down.first : geometry.down.end, geometry.across.first : geometry.across.end] = False
    assert not ((marked != expected) & ~outline & ~padding).any()


def test_padding_is_no_part_of_the_image() -> None:
    geometry = measure_geometry(PADDED, (300, 150))  # 64 x 32 in the middle of 64 x 64
    assert (geometry.down.first, geometry.down.end) == (16, 48)
    assert geometry.pixel_slices(Box(0, 0, 1, 1)) == (slice(16, 48), slice(0, 64))
    assert geometry.pixel_slices(Box(0, 0, 0.5, 0.5)) == (slice(16, 32), slice(0, 32))


def test_the_visible_share_of_a_box() -> None:
    geometry = measure_geometry(CUT, (300, 200))
    assert geometry.visible_share(Box(0, 0, 0.2, 0.2)) == 0  # a corner, cut off
    assert geometry.visible_share(Box(0.4, 0.4, 0.6, 0.6)) == 1
    assert geometry.visible_share(Box(14 / 60 - 0.1, 0.2, 14 / 60 + 0.1, 0.8)) == pytest.approx(0.5, abs=0.02)


def test_a_box_has_at_least_one_pixel() -> None:
    rows, columns = measure_geometry(CUT, (300, 200)).pixel_slices(Box(0.5, 0.5, 0.5001, 0.5001))
    assert (rows.stop - rows.start, columns.stop - columns.start) == (1, 1)


@pytest.mark.parametrize(
    "step",
    [
        ImageOps.mirror,
        ImageOps.flip,
        lambda image: image.rotate(30),
        lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        lambda image: image.convert("L").point(lambda value: 7).convert("RGB"),
    ],
    ids=["mirror", "flip", "rotate", "transpose", "constant"],
)
def test_what_is_no_scaling_and_cutting_is_not_guessed(step: Step) -> None:
    preprocessing = preprocess_by(transforms.Resize((32, 32)), step)
    with pytest.raises(Unavailable, match="cannot be told"):
        measure_geometry(preprocessing, (60, 40))


def test_an_image_of_a_few_pixels_is_not_measured() -> None:
    with pytest.raises(Unavailable, match="4 x 90 px is too small"):
        measure_geometry(CUT, (4, 90))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_upright_size_is_that_of_the_upright_image(kind: str, orientation: int) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, kind, exif=tags)
    assert upright_size(Image.open(file)) == upright_rgb(Image.open(file)).size
