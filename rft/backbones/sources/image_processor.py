"""Images prepared by the image processor that lies in a folder of transformers, which is run as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from rft.backbones.sources.snapshot import PretrainedFolder
from rft.data.images.preprocessing import ImagePreprocessing, plain_preprocessing
from rft.errors import ModelError

FILES = ("preprocessor_config.json", "processor_config.json")  # the second holds a tokenizer's part as well
USUAL_SIDE = 224  # pixels
# Of what a processor says of itself, what has no part in the pixels or stands in the facts already.
UNSHOWN = {
    *("image_mean", "image_std", "data_format", "input_data_format", "return_tensors", "device", "disable_grouping"),
    *("feature_extractor_type", "image_processor_type", "processor_class", "_processor_class", "image_seq_length"),
}


def has_processor(source: PretrainedFolder, config: Any) -> bool:
    """Tell whether a folder says how images are prepared; timm's models of transformers do so in their config."""
    return config.model_type == "timm_wrapper" or any((source.path / name).is_file() for name in FILES)


def read_preprocessing(
    load: Callable[..., Any] | None, config: Any, where: str, *, image_size: int | None = None
) -> ImagePreprocessing:
    """Return how the images of a model are prepared: by the image processor of its folder.

    Where the folder says nothing, images are cropped to the network's size and plainly normalised.

    Args:
        load: returns the image processor of the folder, with changes that it takes as keywords; None: there is none.
        config: of the vision model.
        where: the key of audit.toml that named the folder, for errors.
        image_size: side of the images in place of that which the folder says; what is seen of them stays the same.

    Raises:
        ModelError: the processor cannot be loaded or run, or its images are not of one size.
    """
    channels = getattr(config, "num_channels", 3)
    if load is None:
        network_size = getattr(config, "image_size", None) or USUAL_SIDE  # convolutional networks take any
        side = image_size or (network_size if isinstance(network_size, int) else max(network_size))
        grey = (0.5,) * channels
        return plain_preprocessing(side, side, "bicubic", grey, grey, channels=channels)
    processor = load()
    measured = measure_processor(processor, where, channels)
    if image_size is None or measured.shape[1:] == (image_size, image_size):
        return measured
    larger = load(**_scale_sizes(processor, image_size / max(measured.shape[1:])))
    scaled = measure_processor(larger, where, channels)
    if scaled.shape[1:] != (image_size, image_size):
        height, width = scaled.shape[1:]
        raise ModelError(
            f"its image processor gives {height} x {width} px where {image_size} x {image_size} px are asked for",
            where="model.image_size",
            remedy="Leave it out.",
        )
    return scaled


def measure_processor(processor: Any, where: str, channels: int = 3) -> ImagePreprocessing:
    """Return what an image processor does; raises ``ModelError`` as ``ImagePreprocessing.measure`` does."""

    def pipeline(image: Image.Image) -> np.ndarray:
        values: np.ndarray = processor(images=image, return_tensors="pt")["pixel_values"][0].numpy()
        return values

    content = json.loads(processor.to_json_string())
    shown = {key: value for key, value in content.items() if value is not None and key not in UNSHOWN}
    resample = content.get("resample")
    kind = Image.Resampling(resample) if isinstance(resample, int) else Image.Resampling.BICUBIC
    if isinstance(resample, int):
        shown["resample"] = kind.name.lower()
    mean, std = content.get("image_mean"), content.get("image_std")
    said = (mean, std) if isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) else None
    recipe = {"recipe": type(processor).__name__, **shown, **({"channels": channels} if channels != 3 else {})}
    measured = ImagePreprocessing.measure(pipeline, recipe, where, channels=channels, resample=kind, normalisation=said)
    return replace(measured, processor=processor)


def _scale_sizes(processor: Any, factor: float) -> dict[str, Any]:
    """Return all sizes of a processor multiplied, so that it shows the same of an image."""
    content = json.loads(processor.to_json_string())
    return {
        key: {edge: round(pixels * factor) for edge, pixels in content[key].items() if isinstance(pixels, int)}
        for key in ("size", "crop_size", "pad_size")
        if isinstance(content.get(key), dict)
    }
