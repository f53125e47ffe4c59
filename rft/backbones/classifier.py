"""The joined model: a backbone that gives one vector an example, and a linear head on it.

A batch is a dict of tensors. Images: ``{"pixels": (B, C, H, W)}`` in [0, 1]. Texts: ``{"input_ids": (B, T),
"attention_mask": (B, T)}``, padded on the right. What is trained and what is frozen is decided in ``cut``, not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.partition import frozen_part
from rft.backbones.partition.frozen_part import FrozenPart
from rft.runtime.devices.random_state import seeded_torch

Pooling = Literal["mean", "cls", "last"]


def flatten_output(output: Tensor) -> Tensor:
    """Return (B, D) features from what torchvision and timm give without their classifiers."""
    return output.flatten(1)


class ImageBackbone(nn.Module):
    """Pixels in, features out.

    Args:
        network: the library's model without its classifier; takes normalised (B, C, H, W) pixels.
        mean, std: what its pretraining normalised each channel with.
        pooled: turns the network's output into (B, D) features.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Iterable[float],
        std: Iterable[float],
        pooled: Callable[[Any], Tensor] = flatten_output,
    ) -> None:
        super().__init__()
        self.network, self.pooled = network, pooled
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, inputs: Batch) -> Tensor:
        """Map ``{"pixels": (B, C, H, W)}`` in [0, 1] to (B, D) features."""
        return self.pooled(self.network((inputs["pixels"] - self.mean) / self.std))


class TextBackbone(nn.Module):
    """Tokens in, features out: the last hidden states of a transformer, pooled over the real tokens."""

    def __init__(self, network: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.network, self.pooling = network, pooling

    def forward(self, inputs: Batch) -> Tensor:
        """Map ``{"input_ids": (B, T), "attention_mask": (B, T)}`` to (B, D) features."""
        output = self.network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        return pool_tokens(output.last_hidden_state, inputs["attention_mask"], self.pooling)

    def mask_vectors(self, inputs: Batch) -> Tensor:
        """Return the (B, T) mask of the vectors that the network makes of a batch: one for each token."""
        return inputs["attention_mask"]

    def blank_inputs(self, mask: Tensor) -> Batch:
        """Return a batch without content of which the network makes vectors with this (B, T) mask."""
        return {"input_ids": torch.zeros_like(mask), "attention_mask": mask}


def pool_tokens(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Return (B, D) from (B, T, D) hidden states: their mean over real tokens, the first, or the last real one."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        last = mask.sum(dim=1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


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
        output: Tensor = self.linear(scale_rows(batch["features"], row_norm=self.row_norm))
        return output


def scale_rows(features: Tensor, *, row_norm: bool) -> Tensor:
    """Return (..., D) features as a head sees them: with ``row_norm`` each row has length sqrt(D)."""
    return nn.functional.normalize(features, dim=-1) * features.shape[-1] ** 0.5 if row_norm else features


def new_head(dimension: int, classes: int, row_norm: bool, seed: int, kind: type[Head] = Head) -> Head:
    """Return a head whose initial weights follow from ``seed`` alone; the global random state stays as it was."""
    with seeded_torch(seed):
        return kind(dimension, classes, row_norm=row_norm)


class InputClassifier(nn.Module):
    """A classifier of examples as plugins see it, trained here or by others: a batch of inputs in, (B, K) logits out.

    Attributes:
        modality: ``image``, ``text`` or ``audio``.
        embedding_layer: name of the word embedding that a text model begins with, or None.
    """

    def __init__(self, *, modality: str, embedding_layer: str | None) -> None:
        super().__init__()
        self.modality, self.embedding_layer = modality, embedding_layer


class Classifier(InputClassifier):
    """Backbone and head, joined.

    Attributes:
        backbone, head: the two parts; ``backbone.network`` is the library's model.
        frozen_part: how the part before the cut computes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        *,
        modality: str,
        embedding_layer: str | None = None,
    ) -> None:
        super().__init__(modality=modality, embedding_layer=embedding_layer)
        self.backbone, self.head = backbone, head
        self.frozen_part = FrozenPart()
        self.eval()

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of inputs to (B, K) logits."""
        output: Tensor = self.head({"features": self.features(inputs)})
        return output

    def features(self, inputs: Batch) -> Tensor:
        """Map a batch of inputs to (B, D) features as the head gets them."""
        part = self.frozen_part
        if part.plain:
            output: Tensor = self.backbone(inputs)
            return output
        if part.layer is None:
            outputs = frozen_part.run_frozen_part(
                lambda batch: {"features": self.backbone(batch)}, inputs, part.precision
            )
            return frozen_part.round_to_cache(outputs["features"], part.cache)
        return frozen_part.through_cut(self, self.backbone, part, inputs)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, types, shapes and bytes of tensors, whatever their device or memory layout."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
