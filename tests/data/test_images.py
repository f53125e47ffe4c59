from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from rft.data.images.inputs import ImageInputs, digest_image, read_pixels
from rft.data.images.preprocessing import plain_preprocessing
from rft.errors import DataError
from rft.records import Split

PLAIN = plain_preprocessing(resize=40, crop=32, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
MANY = 10_000_000


def random_pixels(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def test_preprocessing_is_torchvisions_own(tmp_path: Path) -> None:
    transform = models.ResNet18_Weights.DEFAULT.transforms()
    Image.fromarray(random_pixels((300, 400, 3))).save(tmp_path / "a.png")
    settings = plain_preprocessing(256, 224, "bilinear", tuple(transform.mean), tuple(transform.std))
    ours = torch.from_numpy(read_pixels(tmp_path / "a.png", settings, MANY).copy()).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor(settings.mean).view(3, 1, 1), torch.tensor(settings.std).view(3, 1, 1)
    expected = transform(Image.open(tmp_path / "a.png"))
    assert torch.allclose((ours - mean) / std, expected, atol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(random_pixels((50, 60))),
        Image.fromarray(random_pixels((50, 60, 4)), "RGBA"),
        Image.fromarray(random_pixels((50, 60, 4)), "CMYK"),
        Image.fromarray(random_pixels((50, 60, 3))).convert("P"),
    ],
    ids=["grey", "alpha", "cmyk", "palette"],
)
def test_every_colour_mode_becomes_rgb(tmp_path: Path, image: Image.Image) -> None:
    path = tmp_path / ("a.tif" if image.mode == "CMYK" else "a.png")
    image.save(path)
    assert read_pixels(path, PLAIN, MANY).shape == (32, 32, 3)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    content = np.zeros((40, 40, 3), np.uint8)
    content[:20] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    Image.fromarray(content).save(tmp_path / "a.jpg", exif=exif)
    turned = read_pixels(tmp_path / "a.jpg", PLAIN, MANY)
    assert turned[:10].mean() < 30
    assert turned[-10:].mean() > 220


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (30_000, 30_000)).save(path)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(DataError, match=r"huge\.png: has too many pixels to be decoded"):
        digest_image(path, 89_478_485, decode=False)
    Image.new("1", (4_000, 4_000)).save(path)
    with pytest.raises(DataError, match=r"huge\.png: has 4000 x 4000 pixels; at most 1,000,000 are decoded"):
        read_pixels(path, PLAIN, 1_000_000)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(random_pixels((80, 80, 3))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        digest_image(path, MANY, decode=True)


def test_formats_that_run_other_programs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(DataError, match="cannot be read as an image"):
        digest_image(path, MANY, decode=True)


def test_batches_come_in_order_and_scaled(tmp_path: Path) -> None:
    paths = []
    for number in range(7):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (40, 40), (number * 30, 0, 255)).save(paths[-1])
    split = Split("train", np.arange(7).astype(str), paths, np.zeros(7, np.int64))
    inputs = ImageInputs({"train": split}, PLAIN, MANY)
    batches = [batch["pixels"] for batch in inputs.batches(paths, [[0, 1, 2], [3, 4, 5], [6]])]
    red = torch.cat(batches)[:, 0, 0, 0]
    assert torch.allclose(red, torch.arange(7) * 30 / 255)
    assert torch.equal(inputs.batch("train", [5])["pixels"][0], batches[1][2])
    assert batches[0][:, 2].max() == 1


def image_inputs(folder: Path, count: int = 6) -> ImageInputs:
    """Images of noise, each twice: under another name and with the same content."""
    paths = []
    for number in range(count):
        for copy in ("a", "b"):
            paths.append(folder / f"{number}{copy}.png")
            Image.fromarray(random_pixels((60, 50, 3), number)).save(paths[-1])
    split = Split("train", np.arange(len(paths)).astype(str), paths, np.zeros(len(paths), np.int64))
    return ImageInputs({"train": split}, PLAIN, MANY, seed=3)


def test_a_view_follows_from_content_number_and_seed(tmp_path: Path) -> None:
    reader = image_inputs(tmp_path)
    rows = [0, 0, 0, 1, 1, 2]
    batch = reader.batch("train", rows, [0, 1, 2, 1, 2, 1])["pixels"]
    assert batch.shape == (6, 3, 32, 32)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.equal(batch[0], reader.batch("train", [0])["pixels"][0])  # view 0 is the plain image
    assert torch.equal(batch[1], batch[3])  # another file with the same content
    assert torch.equal(batch[2], batch[4])
    assert len({tuple(view.flatten().tolist()) for view in batch[[0, 1, 2, 5]]}) == 4
    of_another_seed = replace(reader, seed=4).batch("train", rows, [0, 1, 2, 1, 2, 1])["pixels"]
    assert torch.equal(of_another_seed[0], batch[0])
    assert not torch.equal(of_another_seed[1], batch[1])
    assert reader.augmentation != replace(reader, seed=4).augmentation


def test_views_come_in_the_order_asked_for(tmp_path: Path) -> None:
    reader = image_inputs(tmp_path)
    items = reader.splits["train"].items
    together = list(reader.batches(items, [[0, 2], [4], [2, 2]], [[1, 0], [2], [0, 1]]))
    for rows, views, batch in zip([[0, 2], [4], [2, 2]], [[1, 0], [2], [0, 1]], together, strict=True):
        for row, view, pixels_of in zip(rows, views, batch["pixels"], strict=True):
            assert torch.equal(pixels_of, reader.batch("train", [row], [view])["pixels"][0])


@pytest.mark.parametrize("shape", [(60, 50), (500, 20), (1, 1), (3, 400)])
def test_an_augmented_view_shows_half_of_the_image_or_more(shape: tuple[int, int]) -> None:
    height, width = shape
    rows, columns = np.mgrid[0:height, 0:width]
    content = np.stack([rows * 255 / max(1, height - 1), columns * 255 / max(1, width - 1), 0 * rows], axis=2)
    image = Image.fromarray(content.astype(np.uint8))
    mirrored = 0
    for seed in range(60):
        view = PLAIN.augmented_view(image, np.random.default_rng(seed))
        assert view.shape == (32, 32, 3)
        if shape == (60, 50):
            seen = [np.ptp(view[..., channel].astype(float)) / 255 for channel in (0, 1)]
            assert seen[0] * seen[1] > 0.4
            mirrored += view[16, 0, 1] > view[16, -1, 1]
    assert shape != (60, 50) or 15 <= mirrored <= 45


def test_a_damaged_image_is_named_in_any_view(tmp_path: Path) -> None:
    reader = image_inputs(tmp_path, 1)
    path = reader.splits["train"].items[0]
    path.write_bytes(path.read_bytes()[:300])
    for view in (0, 1):
        with pytest.raises(DataError, match=r"0a\.png: cannot be read as an image"):
            reader.batch("train", [0], [view])
