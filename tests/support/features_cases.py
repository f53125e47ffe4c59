"""Items that are numbers, and frozen parts that are simple enough to say what must come out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rft.data.images.inputs import Augmentation
from rft.features import Dense, Features
from rft.records import Split

Batch = dict[str, Tensor]


def split_of(items: Sequence[Any], name: str = "train") -> Split:
    """Return a split of these items; equal items have equal digests."""
    digests = [hashlib.sha256(repr(item).encode()).hexdigest() for item in items]
    ids = np.array([str(number) for number in range(len(items))])
    return Split(name, ids, items, np.zeros(len(items), np.int64), digests=np.array(digests, object))


def as_dense(features: Features) -> Dense:
    """Return features that are held in memory as what they are."""
    assert isinstance(features, Dense)
    return features


class Images:
    """An item is a number; its image has that colour, brighter in each of its views."""

    def __init__(self, seed: int = 0) -> None:
        self.augmentation = Augmentation(seed)

    def batches(
        self, items: Sequence[float], batches: Sequence[Any], views: Sequence[Any] | None = None
    ) -> Iterator[Batch]:
        for number, rows in enumerate(batches):
            shift = np.zeros(len(rows)) if views is None else np.asarray(views[number])
            colours = torch.tensor([items[row] for row in rows]) + torch.from_numpy(shift) * 100
            yield {"pixels": colours.float().view(-1, 1, 1, 1).expand(-1, 3, 2, 2)}

    def batch(self, split: str, rows: Any, views: Any = None) -> Batch:
        return {"pixels": torch.as_tensor(rows).float().view(-1, 1, 1, 1) + (0 if views is None else 100)}


class Colours(nn.Module):
    """Gives the colour and its square; counts what it sees, and can fail after some images or in large batches."""

    def __init__(self, *, fail_after: int | None = None, most: int | None = None) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.fail_after, self.most = fail_after, most

    @property
    def seen(self) -> int:
        return sum(self.batches)

    def forward(self, batch: Batch) -> Batch:
        colour = batch["pixels"][:, 0, 0, 0]
        if self.most is not None and len(colour) > self.most:
            raise torch.OutOfMemoryError(f"no room for {len(colour)}")
        self.batches.append(len(colour))
        if self.fail_after is not None and self.seen > self.fail_after:
            raise KeyboardInterrupt
        return {"features": torch.stack([colour, colour**2], dim=1)}


class Texts:
    """An item is a length T; its tokens are 1 to T."""

    def lengths(self, items: Sequence[int]) -> np.ndarray:
        return np.array(items, np.int64)

    def batches(self, items: Sequence[int], batches: Sequence[Any]) -> Iterator[Batch]:
        for rows in batches:
            lengths = torch.tensor([items[row] for row in rows])
            places = torch.arange(1, int(lengths.max()) + 1).expand(len(rows), -1)
            mask = (places <= lengths[:, None]).long()
            yield {"input_ids": places * mask, "attention_mask": mask}


class Embedding(nn.Module):
    """Gives a vector for each token, and rubbish for padding, as a transformer does."""

    def __init__(self, dimension: int = 3, *, pooled: bool = False) -> None:
        super().__init__()
        self.dimension, self.pooled = dimension, pooled
        self.shapes: list[tuple[int, int]] = []

    def forward(self, batch: Batch) -> Batch:
        tokens = batch["input_ids"]
        self.shapes.append((tokens.shape[0], tokens.shape[1]))
        features = torch.where(tokens > 0, tokens, -7).float().unsqueeze(-1) * torch.arange(1.0, self.dimension + 1)
        if self.pooled:
            return {"features": features[:, 0]}
        return {"features": features, "attention_mask": batch["attention_mask"]}
