"""Small classifiers whose attributions are known, and a audited around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rft.data.images.geometry import Axis, ImageGeometry
from rft.plugins import AuditedModel
from rft.plugins.attribution.images.explained import Explained, ExplainedBatch
from rft.plugins.attribution.images.shortcuts.region_swaps import TestImages
from rft.plugins.attribution.network import Network
from rft.records import ModelFacts, Split, Training

CLASSES = ("blue", "red")
CORNER = [0.0, 0.0, 0.25, 0.25]
SIDE = 16

Batch = dict[str, Tensor]


class Frozen(nn.Module):
    """A classifier in eval mode with nothing to train, as the audit meets it."""

    embedding_layer: str | None = None

    def finish(self) -> Frozen:
        return self.eval().requires_grad_(False)

    def forward(self, inputs: Batch) -> Tensor:
        return self.classify(inputs["pixels"])

    def classify(self, pixels: Tensor) -> Tensor:
        raise NotImplementedError


class Convolutional(Frozen):
    """Convolutions, global average pooling, a linear head: class activation maps are known in closed form."""

    def __init__(self, *, seed: int = 0, smooth: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        bend = nn.Softplus if smooth else nn.ReLU
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), bend(), nn.Conv2d(8, 12, 3, 2, padding=1), bend()
        )
        self.linear = nn.Linear(12, 2)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(self.body(pixels).mean(dim=(2, 3)))


class Linear(Frozen):
    """One weight a pixel."""

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(3 * side * side, 2)
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        return self.linear(pixels.flatten(1))


class Region(Frozen):
    """Tells red from blue by the mean colour of one region and sees nothing else."""

    def __init__(self, region: Sequence[float], *, strength: float = 20.0) -> None:
        super().__init__()
        self.region, self.strength = region, strength
        self.finish()

    def classify(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        left, top, right, bottom = self.region
        rows = slice(round(top * height), round(bottom * height))
        seen = pixels[:, :, rows, round(left * width) : round(right * width)].mean(dim=(2, 3))
        return self.strength * torch.stack([seen[:, 2], seen[:, 0]], dim=1)


class Images:
    """Reads (N, 3, H, W) pixels that are held in memory, as ``rft.data.images.inputs.ImageInputs`` does from disk.

    They are their files' images as they are, unless a geometry says which part of them they show.
    """

    def __init__(self, pixels: Tensor, geometries: Sequence[ImageGeometry] | None = None) -> None:
        self.pixels = pixels
        height, width = pixels.shape[-2:]
        whole = ImageGeometry(Axis(0, width, 0.0, 1 / width), Axis(0, height, 0.0, 1 / height))
        self.geometries = geometries or [whole] * len(pixels)

    def batch(self, split: str, rows: np.ndarray) -> Batch:
        assert split == "test"
        return {"pixels": self.pixels[torch.as_tensor(rows)]}

    def geometry(self, split: str, row: int) -> ImageGeometry:
        assert split == "test"
        return self.geometries[row]

    def test_images(self) -> TestImages:
        return TestImages(lambda rows: self.batch("test", rows)["pixels"], lambda row: self.geometry("test", row))


def noise(n: int, *, side: int = SIDE, seed: int = 0) -> Tensor:
    """Return (n, 3, side, side) uniform noise."""
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def explain_pixels(network: Network, pixels: Tensor, baseline: Tensor | None = None) -> Explained:
    """Return (N, 3, H, W) pixels that are held in memory as the images to be explained."""
    return Explained.from_rows(network, np.arange(len(pixels)), lambda rows: pixels[torch.from_numpy(rows)], baseline)


def whole_batch(explained: Explained) -> ExplainedBatch:
    """Return all images at once."""
    return explained.read_batch(slice(0, len(explained)))


def audited_model(
    model: nn.Module,
    pixels: Tensor,
    *,
    seed: int = 0,
    groups: dict[str, np.ndarray] | None = None,
    units: np.ndarray | None = None,
    show_examples: bool = False,
) -> AuditedModel:
    """Return an audited model whose test split is ``pixels`` with what ``model`` predicts."""
    n = len(pixels)
    with torch.no_grad():
        predicted = model({"pixels": pixels}).argmax(dim=1).numpy()
    split = Split(
        name="test",
        ids=np.array([f"t{row}" for row in range(n)]),
        items=list(range(n)),
        labels=predicted.astype(np.int64),
        groups=groups or {},
        units=units,
    )
    names = [CLASSES[index] for index in predicted]
    table = pd.DataFrame({"split": "test", "id": split.ids, "unit": None, "label": names, "prediction": names})
    facts = ModelFacts(
        name="tiny", modality="image", classes=CLASSES, positive="red", training=Training(mode="standard")
    )
    return AuditedModel(
        facts=facts,
        seed=seed,
        splits={"test": split},
        predictions=table.sample(frac=1, random_state=0),  # rows are found by id, not by place
        model=model,
        inputs=Images(pixels),
        show_examples=show_examples,
    )
