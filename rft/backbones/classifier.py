"""The joined model: frozen prefix and trainable suffix, for prediction and attribution."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]


class Prefix(nn.Module):
    """The frozen part: pixels in, features out.

    It cannot be put in training mode: ``requires_grad_(False)`` alone does not freeze a BatchNorm, whose running
    statistics would move, that is, release statistics of the training data.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, mean: Iterable[float], std: Iterable[float]) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32).view(1, 3, 1, 1))
        self.train(False)

    def train(self, mode: bool = True) -> Prefix:
        """Stay in eval mode whatever is asked."""
        super().train(False)
        return self

    def forward(self, pixels: Tensor) -> Batch:
        """Map (B, 3, H, W) pixels in [0, 1] to ``{"features": (B, D)}``."""
        return {"features": self.backbone((pixels - self.mean) / self.std).flatten(1)}


class Head(nn.Module):
    """A linear classifier on features.

    With ``row_norm`` each row is scaled to length sqrt(D), as layer normalisation does: it reads one row at a time
    and so, unlike standardising columns, releases nothing about the data.
    """

    def __init__(self, dimension: int, classes: int, *, row_norm: bool = False) -> None:
        super().__init__()
        self.row_norm = row_norm
        self.linear = nn.Linear(dimension, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Map ``{"features": (B, D)}`` to (B, K) logits."""
        features = batch["features"]
        if self.row_norm:
            features = nn.functional.normalize(features, dim=1) * features.shape[1] ** 0.5
        return self.linear(features)


def new_head(dimension: int, classes: int, row_norm: bool, seed: int) -> Head:
    """Return a head whose initial weights follow from ``seed`` alone; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Head(dimension, classes, row_norm=row_norm)


class Classifier(nn.Module):
    """Backbone and head, joined.

    Attributes:
        prefix, suffix: the two sides of the cut.
        spatial_layer: name of the module whose output is the last (B, C, h, w) map, for methods such as GradCAM;
            None for backbones without one (vision transformers).
    """

    def __init__(self, prefix: Prefix, suffix: nn.Module, image_size: int) -> None:
        super().__init__()
        self.prefix, self.suffix, self.image_size = prefix, suffix, image_size
        self.spatial_layer = _spatial_layer(self, image_size)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) pixels in [0, 1] to (B, K) logits."""
        return self.suffix(self.prefix(pixels))

    def cut(self, layer: str | None = None) -> tuple[Prefix, nn.Module]:
        """Return the frozen prefix and the trainable suffix; ``None`` cuts before the head."""
        if layer is not None:
            raise ValueError("this classifier can only be cut before its head")
        return self.prefix, self.suffix

    def frozen_sha256(self) -> str:
        """Hash every tensor and buffer of the prefix."""
        return hash_tensors(self.prefix.state_dict())


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """Return the sha256 over names, types, shapes and bytes of tensors, whatever their device or memory layout."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _spatial_layer(model: Classifier, image_size: int) -> str | None:
    """Find the last module that gives a feature map, by running one grey image through the backbone."""
    last: list[str | None] = [None]

    def remember(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            if output.dim() == 4 and output.shape[2] > 1 and output.shape[3] > 1:
                last[0] = name
            elif output.dim() == 3:  # a sequence of tokens: what came before is no map of what decides
                last[0] = None

        return hook

    handles = [
        module.register_forward_hook(remember(name))
        for name, module in model.named_modules()
        if name.startswith("prefix.backbone.")
    ]
    device = model.prefix.mean.device
    with torch.no_grad():
        model.prefix(torch.full((1, 3, image_size, image_size), 0.5, device=device))
    for handle in handles:
        handle.remove()
    return last[0]
