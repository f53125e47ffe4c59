"""Maps of images with all measures of their quality, against plain calls of Captum that measure nothing.

    python benchmarks/attribution_maps.py [--images 24] [--steps 50] [--memory 24 200 1000]

Prints a table and writes ``attribution_maps.json`` beside this file. The network is an EfficientNet-Lite0 at 224 px
with random weights and a linear head, on made-up images: what is timed does not depend on what was learned, but for the
number of gradients that integrated gradients need. All runs have one thread, and the times are those of the processor.
What ``rft audit`` does by default are the rows ``rft, maps`` and ``rft, quality``. Integrated gradients of this network
do not converge with as many gradients as a second opinion may spend, and are left out after the first image.

``--memory`` takes numbers of images: for each a process of its own makes the maps and measures them, of images that are
made up when they are read, and says the most memory that it held. ``--side`` is the width of these images: at 224 px a
thousand take half an hour.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn

from rft.plugins.attribution import AttributionOptions
from rft.plugins.attribution.images.explained import Explained
from rft.plugins.attribution.images.map_layer import find_map_layer
from rft.plugins.attribution.images.methods import explain_images
from rft.plugins.attribution.images.quality import measure_quality
from rft.plugins.attribution.images.suited_methods import Attributed, attribute_images
from rft.plugins.attribution.network import FromPixels, Network
from rft.runtime.allocator import keep_freed_memory

SIDE = 224


class FromBatch(nn.Module):
    """The network of timm as a classifier of batches."""

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model("tf_efficientnet_lite0", num_classes=2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return (B, 2) logits."""
        logits: Tensor = self.network(inputs["pixels"])
        return logits


def main() -> None:
    """Time each way on the same images, print it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--steps", type=int, default=50, help="of Captum's integrated gradients; 50 is its default")
    parser.add_argument("--memory", type=int, nargs="*", default=[24, 200, 1000], help="images, for peaks of memory")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels, of the images whose memory is measured")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.peak_of:
        print(_peak_memory(options.peak_of, options.side))
        return
    allocator = keep_freed_memory()
    network = Network(FromBatch().eval().requires_grad_(False), "cpu")
    pixels = torch.rand(options.images, 3, SIDE, SIDE)
    seconds = _time_rft(network, pixels) | _time_captum(network, pixels, options.steps)
    closed, plain = seconds["rft, class activation maps alone"], seconds["Captum, integrated gradients"]
    for name, value in seconds.items():
        print(f"{name:40} {value:8.2f} s   {value / options.images:7.3f} s an image")
    print(f"Captum's integrated gradients take {plain / closed:.0f} times as long as class activation maps")
    peaks = {count: _ask_peak(count, options.side) for count in options.memory}
    for count, peak in peaks.items():
        print(f"{count:5} images: at most {peak / 1e9:.2f} GB of memory")
    result = {
        "options": {"images": options.images, "steps": options.steps},
        "peak memory in bytes, by images": peaks,
        "pixels a side, of the images whose memory was measured": options.side,
        "keeps freed memory": allocator,
        "processor seconds": {name: round(value, 3) for name, value in seconds.items()},
        "integrated gradients of Captum over class activation maps": round(plain / closed, 1),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _time_rft(network: Network, pixels: Tensor) -> dict[str, float]:
    explained = Explained.from_rows(network, np.arange(len(pixels)), lambda rows: pixels[torch.from_numpy(rows)])
    groups: list[Attributed] = []

    def make_maps() -> None:
        attributed, reasons = attribute_images(network, explained, AttributionOptions(), np.random.default_rng(0))
        assert reasons.keys() <= {"integrated_gradients"}, reasons
        groups.extend(attributed)

    def measure_all() -> None:
        for group in groups:
            measure_quality(network, group, np.random.default_rng(0))

    maps, quality = _measure_seconds(make_maps), _measure_seconds(measure_all)
    closed = _measure_seconds(lambda: explain_images(groups[0].method, network, explained))
    return {"rft, maps": maps, "rft, quality": quality, "rft, class activation maps alone": closed}


def _peak_memory(count: int, side: int) -> int:
    """Return the bytes that this process held at most, after making and measuring the maps of made-up images."""
    network = Network(FromBatch().eval().requires_grad_(False), "cpu")

    def read(rows: np.ndarray) -> Tensor:
        return torch.stack([_make_image(row, side) for row in rows.tolist()])

    explained = Explained.from_rows(network, np.arange(count), read)
    for group in attribute_images(network, explained, AttributionOptions(), np.random.default_rng(0))[0]:
        measure_quality(network, group, np.random.default_rng(0))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _make_image(row: int, side: int) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(row))


def _ask_peak(count: int, side: int) -> int:
    command = [sys.executable, __file__, "--peak-of", str(count), "--side", str(side)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _time_captum(network: Network, pixels: Tensor, steps: int) -> dict[str, float]:
    function, target = FromPixels(network), network.logits({"pixels": pixels}).argmax(dim=1)
    layer = network.model.get_submodule(find_map_layer(network, pixels[:8]).name)

    def run_gradcam() -> None:
        for image, label in zip(pixels, target, strict=True):
            LayerGradCam(function, layer).attribute(image[None].requires_grad_(), target=int(label))

    def run_integrated_gradients() -> None:
        for image, label in zip(pixels, target, strict=True):
            IntegratedGradients(function).attribute(
                image[None], target=int(label), n_steps=steps, internal_batch_size=4
            )

    return {
        "Captum, GradCAM": _measure_seconds(run_gradcam),
        "Captum, integrated gradients": _measure_seconds(run_integrated_gradients),
    }


def _measure_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
