"""How an image becomes the input of a model: by a library's own pipeline, with its normalisation taken back.

Pipelines resize, crop, squash and pad in many ways, and end with a normalisation. They are run as they are. Then the
normalisation, which is measured, is taken back, so that images are pixels in [0, 1] everywhere in rft; the model
begins with it. A pipeline that does more than that to the values is left as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from rft.config.schema import DataConfig
from rft.data.images.decoding import upright_rgb
from rft.data.images.inputs import ImageInputs, random_part
from rft.errors import ModelError
from rft.records import ImagePreprocessingFacts, JsonObject, Split

Pipeline = Callable[[Image.Image], np.ndarray]

SIZES = ((60, 90), (90, 60), (61, 61))  # width and height of the images that a pipeline is tried on
GREY_LEVELS = (0, 51, 170, 255)
NORMALISATION_TOLERANCE = (
    1e-4  # how far, relative to black against white, values may be from a normalisation and still be one
)
PIXEL_STEP_TOLERANCE = 1e-3  # how far from a whole number of 256 steps a pixel may be and still be one of 8 bits
REPEATS = 8  # runs of a pipeline that may hold random steps
MODE_OF_CHANNELS = {1: "L", 3: "RGB"}  # channels -> Pillow's mode


@dataclass(frozen=True)
class ImagePreprocessing:
    """A pipeline for images: value = offset + scale * pixel, for pixels in [0, 1].

    Attributes:
        pipeline: image -> (C, H, W) values that the model's own network takes.
        recipe: what the pipeline is, as it stands in ``audit.json``; enough for its library to build it again.
        offset, scale: (C,) for each channel; 0 and 1 where the pipeline does more than normalise.
        shape: (C, H, W) of what it gives.
        resample: how Pillow resizes the part of an image that an augmented view shows.
        direct: whether pixels can be put in the place of its output: it only resizes, crops, pads and normalises.
        mode: Pillow's mode of the images that it is given, ``RGB`` or ``L``.
        pixels_sha256: of its values for made-up images: another release of a library may give others.
        processor: the image processor of transformers that it runs, or None.
    """

    pipeline: Pipeline = field(repr=False)
    recipe: JsonObject
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    shape: tuple[int, int, int]
    resample: Image.Resampling
    direct: bool
    mode: str
    pixels_sha256: str
    processor: Any = field(default=None, repr=False)

    @classmethod
    def measure(
        cls,
        pipeline: Pipeline,
        recipe: JsonObject,
        where: str,
        *,
        channels: int = 3,
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
        may_be_random: bool = False,
    ) -> ImagePreprocessing:
        """Run a pipeline on made-up images to find out what it does.

        Args:
            pipeline: image -> (C, H, W) values.
            recipe: what it is.
            where: the key of audit.toml that named it, for errors.
            channels: of the images that it is given: 3 in RGB, or 1 in grey.
            resample: see the class.
            normalisation: mean and standard deviation that it is said to take; used where they are those measured, so
                that they come without a rounding error.
            may_be_random: run it several times on the same image, to see whether it holds random steps.

        Raises:
            ModelError: it cannot be run, gives images of several sizes, or gives an image other values each time.
        """
        if channels not in MODE_OF_CHANNELS:
            raise ModelError(f"it takes images of {channels} channels; images have 3, or 1 in grey", where=where)
        flat = [
            [_run_once(pipeline, _grey_image(channels, size, value), where) for value in GREY_LEVELS] for size in SIZES
        ]
        shape = _one_shape({values.shape for row in flat for values in row}, where)
        noise = _noise_images(channels)
        if may_be_random:
            _refuse_random(pipeline, noise[0], where)
        measured = _measure_normalisation(flat)
        offset, scale = (np.zeros(shape[0]), np.ones(shape[0])) if measured is None else measured
        if measured is not None and normalisation is not None:
            offset, scale = _prefer_declared(offset, scale, *normalisation)
        total = hashlib.sha256()
        for image in noise:
            total.update(_run_once(pipeline, image, where).astype(np.float32).tobytes())
        return cls(
            pipeline,
            recipe,
            tuple(offset.tolist()),
            tuple(scale.tolist()),
            shape,
            resample,
            measured is not None and shape[0] == channels and _keeps_channels(pipeline, channels, where),
            MODE_OF_CHANNELS[channels],
            total.hexdigest(),
        )

    @property
    def mean(self) -> list[float]:
        """For each channel, what is subtracted from pixels in [0, 1]."""
        return [-offset / scale + 0.0 for offset, scale in zip(self.offset, self.scale, strict=True)]

    @property
    def std(self) -> list[float]:
        """For each channel, what is then divided by."""
        return [1 / scale for scale in self.scale]

    def facts(self) -> ImagePreprocessingFacts:
        """Return what stands in ``audit.json`` and ``model.json``: all that the pixels depend on beside the image."""
        measured = {"pixels": self.shape, "mean": _round_measured(self.mean), "std": _round_measured(self.std)}
        return ImagePreprocessingFacts.model_validate(
            {**measured, **self.recipe, "pixels_sha256": self.pixels_sha256}  # a recipe says its mean to the last digit
        )

    def inputs(self, splits: Mapping[str, Split], config: DataConfig, seed: int) -> ImageInputs:
        """Return the reader of images for these splits."""
        return ImageInputs(splits, self, config.max_pixels, seed)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the (H, W, C) pixels of an image: uint8, or float32 in [0, 1] where 8 bits do not hold them."""
        return self._run_pipeline(upright_rgb(image))

    def augmented_view(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """Return the (H, W, C) pixels of a random part of an image, or of its mirror; see ``random_part``."""
        _, height, width = self.shape
        part = random_part(upright_rgb(image), (height, width), self.resample, rng)
        return (
            np.asarray(part.convert(self.mode)).reshape(height, width, -1) if self.direct else self._run_pipeline(part)
        )

    def _run_pipeline(self, upright: Image.Image) -> np.ndarray:
        values = np.asarray(self.pipeline(upright.convert(self.mode)))
        if values.shape != self.shape:
            raise ModelError(
                f"its preprocessing gives {values.shape} for an image of {upright.width} x {upright.height} px, and "
                f"{self.shape} for others",
                where="model",
            )
        offset, scale = np.reshape(self.offset, (-1, 1, 1)), np.reshape(self.scale, (-1, 1, 1))
        summand = -255 * offset / scale
        float32_error = 2**-22 * (255 + float(np.abs(summand).max()))  # four roundings of numbers of this size
        # float32 takes half the time of float64, which decides where float32 cannot.
        sure = PIXEL_STEP_TOLERANCE - float32_error
        steps = _round_to_steps(values, (255 / scale).astype(np.float32), summand.astype(np.float32), sure)
        if steps is None:
            pixels = (np.asarray(values, np.float64) - offset) / scale
            steps = _round_to_steps(pixels, np.full(1, 255.0), np.zeros(1), PIXEL_STEP_TOLERANCE)
        kept = pixels.astype(np.float32) if steps is None else steps.astype(np.uint8)
        return np.ascontiguousarray(kept.transpose(1, 2, 0))


def _round_to_steps(values: np.ndarray, factor: np.ndarray, summand: np.ndarray, tolerance: float) -> np.ndarray | None:
    """Return (C, H, W) values * factor + summand as whole numbers in [0, 255], or None where they are not that near."""
    scaled = values * factor
    scaled += summand
    steps = np.rint(scaled)
    scaled -= steps
    in_range = steps.min() >= 0 and steps.max() <= 255
    return steps if in_range and max(scaled.max(), -scaled.min()) < tolerance else None


def plain_preprocessing(
    resize: int, crop: int, interpolation: str, mean: Iterable[float], std: Iterable[float], *, channels: int = 3
) -> ImagePreprocessing:
    """Return the usual pipeline: scale the shorter side to ``resize`` pixels, cut a square of ``crop`` from the centre.

    Args:
        resize, crop: in pixels.
        interpolation: ``bilinear`` or ``bicubic``.
        mean, std: for each channel, for values in [0, 1].
        channels: 3, or 1 for grey images.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as transforms

    mean, std = tuple(mean), tuple(std)

    def resize_and_crop(image: Image.Image) -> np.ndarray:
        scaled = transforms.resize(image, [resize], InterpolationMode(interpolation))
        values = transforms.to_tensor(transforms.center_crop(scaled, [crop]))
        pixels: np.ndarray = transforms.normalize(values, mean, std).numpy()
        return pixels

    recipe: JsonObject = {
        "recipe": "plain",
        "resize": resize,
        "crop": crop,
        "interpolation": interpolation,
        "channels": channels,
    }
    return ImagePreprocessing.measure(
        resize_and_crop,
        recipe,
        "model",
        channels=channels,
        resample=Image.Resampling[interpolation.upper()],
        normalisation=(mean, std),
    )


def _run_once(pipeline: Pipeline, image: Image.Image, where: str) -> np.ndarray:
    try:
        return np.asarray(pipeline(image), np.float64)
    except ModelError:
        raise
    except Exception as error:  # a library's or a user's own code: it may raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        width, height = image.size
        raise ModelError(
            f"its preprocessing fails on an image of {width} x {height} px: {reason}", where=where
        ) from error


def _one_shape(shapes: set[tuple[int, ...]], where: str) -> tuple[int, int, int]:
    """Return the (C, H, W) of all images; raises ``ModelError`` where they differ."""
    if any(len(shape) != 3 for shape in shapes):
        raise ModelError("its preprocessing does not give channels, height and width", where=where)
    if len(shapes) > 1:
        raise ModelError(
            "its preprocessing gives images of several sizes; rft runs images of one size at once",
            where=where,
            remedy="Have it end with one size: a centre crop, or a size of height and width.",
        )
    channels, height, width = shapes.pop()
    return channels, height, width


def _refuse_random(pipeline: Pipeline, image: Image.Image, where: str) -> None:
    first = _run_once(pipeline, image, where)
    for _ in range(REPEATS):
        if not np.array_equal(first, _run_once(pipeline, image, where), equal_nan=True):
            raise ModelError(
                "its preprocessing gives the same image other values each time",
                where=where,
                remedy="Give the one for evaluation: without random crops, flips or colours.",
            )


def _grey_image(channels: int, size: tuple[int, int], value: int) -> Image.Image:
    return Image.new("L", size, value).convert(MODE_OF_CHANNELS[channels])


def _noise_images(channels: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SIZES]
    return [Image.fromarray(pixels).convert(MODE_OF_CHANNELS[channels]) for pixels in images]


def _measure_normalisation(flat: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the (C,) offset and scale of values against pixels, from even greys; None where there is no such.

    Pixels that are the same for black and for white are padding, whatever their value.

    Args:
        flat: for each size of image, the (C, H, W) values of each of ``GREY_LEVELS``.
    """
    offsets, scales = [], []
    for channel in range(flat[0][0].shape[0]):
        rows = [np.stack([values[channel] for values in row]).reshape(len(GREY_LEVELS), -1) for row in flat]
        black, white = (np.concatenate([row[number] for row in rows]) for number in (0, len(GREY_LEVELS) - 1))
        shown = np.abs(white - black) > NORMALISATION_TOLERANCE
        if not shown.any():
            return None
        offset, scale = float(np.median(black[shown])), float(np.median((white - black)[shown]))
        shades = np.concatenate(rows, axis=1)[:, shown]
        expected = offset + scale * np.array(GREY_LEVELS)[:, None] / 255
        if scale <= 0 or not np.allclose(shades, expected, rtol=0, atol=NORMALISATION_TOLERANCE * scale):
            return None
        offsets.append(offset)
        scales.append(scale)
    return np.array(offsets), np.array(scales)


def _prefer_declared(
    offset: np.ndarray, scale: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (C,) offset and scale as mean and standard deviation say them, where that is what was measured."""
    said = -np.divide(mean, std), 1 / np.array(std)
    agree = len(mean) == len(offset) and np.allclose(np.stack(said), np.stack([offset, scale]), rtol=1e-5, atol=1e-5)
    return said if agree else (offset, scale)


def _keeps_channels(pipeline: Pipeline, channels: int, where: str) -> bool:
    """Tell whether each channel comes out in its place: some networks take blue first."""
    if channels == 1:
        return True
    for channel in range(3):
        colour = [0, 0, 0]
        colour[channel] = 255
        coloured = _run_once(pipeline, Image.new("RGB", SIZES[0], tuple(colour)), where)
        change = np.abs(coloured - _run_once(pipeline, _grey_image(3, SIZES[0], 0), where)).max(axis=(1, 2))
        if (
            len(change) != 3
            or int(change.argmax()) != channel
            or np.delete(change, channel).max() > NORMALISATION_TOLERANCE
        ):
            return False
    return True


def _round_measured(values: Iterable[float]) -> list[float]:
    """Return numbers as they were written, without the last digits that a measurement adds."""
    return [float(f"{value:.7g}") for value in values]
