"""What it takes to read an image: decoding, resizing, and taking back the normalisation of a library's own pipeline.

    python benchmarks/image_reading.py [--rounds 7] [--images 20]

Prints a table and writes ``image_reading.json`` beside this file. The images are JPEG files of 640 x 480 made of smooth
noise, prepared as ImageNet models want them (shorter side 256, centre 224, bicubic). All ways run in one process with
one thread, in turns; what is compared are medians of the processor's time. The resizing of torchvision on 8-bit tensors
was tried in the place of Pillow's: the values that it changes are counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tensors

from rft.data.images.decoding import open_image, upright_rgb
from rft.data.images.preprocessing import plain_preprocessing
from rft.pipeline.environment import describe_environment

RESIZED, MOST_PIXELS = (256, 341), 10**7


def main() -> None:
    """Time each step in turns, print the medians, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = write_images(Path(folder), options.images)
        medians = _time_steps(files, options.rounds)
        share, most = count_differences(files)
    for name, milliseconds in medians.items():
        print(f"{name:40} {milliseconds:6.2f} ms an image")
    ratio = medians["resize, Pillow"] / medians["resize, torchvision on 8 bits"]
    print(
        f"torchvision resizes {ratio:.1f} times as fast, and differs in {share:.2%} of values by at most {most} of 255"
    )
    result = {
        "options": vars(options),
        "environment": describe_environment("cpu", ["torchvision"]).model_dump(mode="json"),
        "allocator": " ".join(platform.libc_ver()),
        "milliseconds an image": medians,
        "Pillow over torchvision": ratio,
        "share of values that differ": share,
        "largest difference": most,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _time_steps(files: list[Path], rounds: int) -> dict[str, float]:
    """Return the median milliseconds an image of each step."""
    preprocessing = plain_preprocessing(256, 224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images = [_decode(file) for file in files]
    steps: dict[str, Callable[[int], object]] = {
        "decode": lambda number: _decode(files[number]),
        "resize, Pillow": lambda number: resize_by_pillow(images[number]),
        "resize, torchvision on 8 bits": lambda number: resize_by_torchvision(images[number]),
        "the whole pipeline": lambda number: preprocessing.pipeline(images[number]),
        "the pipeline, normalisation taken back": lambda number: preprocessing(images[number]),
        "from file to pixels": lambda number: preprocessing(open_image(files[number], MOST_PIXELS)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            for number in range(len(files)):
                step(number)
            seconds[name].append((time.process_time() - start) / len(files))
    return {name: 1000 * float(np.median(values)) for name, values in seconds.items()}


def _decode(file: Path) -> Image.Image:
    return upright_rgb(open_image(file, MOST_PIXELS))


def count_differences(files: list[Path]) -> tuple[float, int]:
    """Return the share of values in which the two ways to resize differ, and the largest difference in levels."""
    images = [_decode(file) for file in files]
    differences = [np.abs(np.int16(resize_by_pillow(image)) - resize_by_torchvision(image)) for image in images]
    changed = np.stack(differences)
    return float((changed > 0).mean()), int(changed.max())


def resize_by_pillow(image: Image.Image) -> np.ndarray:
    """Return (256, 341, 3) uint8 pixels."""
    return np.asarray(image.resize(RESIZED[::-1], Image.Resampling.BICUBIC))


def resize_by_torchvision(image: Image.Image) -> np.ndarray:
    """Return (256, 341, 3) uint8 pixels."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    resized = tensors.resize(pixels, [*RESIZED], InterpolationMode.BICUBIC, antialias=True)
    values: np.ndarray = resized.permute(1, 2, 0).numpy()
    return values


def write_images(folder: Path, n: int) -> list[Path]:
    """Write JPEG files of smooth noise; return their paths."""
    rng = np.random.default_rng(0)
    files = [folder / f"{number}.jpg" for number in range(n)]
    for file in files:
        coarse = Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).resize((640, 480))
        fine = np.asarray(coarse, np.int16) + rng.integers(-10, 10, (480, 640, 3))
        Image.fromarray(fine.clip(0, 255).astype(np.uint8)).save(file, quality=90)
    return files


if __name__ == "__main__":
    main()
