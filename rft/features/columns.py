"""What training reads: the outputs of the frozen part for N examples, wherever they are kept.

An example may have K views (itself, and K - 1 augmented copies). The outputs are rows, K of them for each example:
view k of example i is row i * K + k.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.backbones.classifier import hash_tensors
from rft.data import Inputs
from rft.features.shards import Shard
from rft.runtime.devices import device_memory

MIN_PARTS_OF_MEMORY = 4  # features that are kept on a device take at most one of so many parts of what is free there

Rows = Sequence[int] | np.ndarray | Tensor


class Features(Protocol):
    """Features of the N examples of a split."""

    @property
    def views(self) -> int:
        """How many views K there are of each example; 1 without augmentation."""

    @property
    def identity(self) -> str:
        """A hash that is another one as soon as anything is that these features, in this order, follow from."""

    def __len__(self) -> int:
        """Return the number N of examples."""

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return what the trainable part takes for these examples, on the CPU; the caller may overwrite it.

        Args:
            rows: (B,) numbers of examples, in [0, N).
            view: (B,) numbers of views, in [0, K); None is the plain one, 0, throughout.

        Returns:
            ``{"features": (B, ...) float32}``. Where examples differ in length T, rows are padded with zeros on the
            right and ``{"attention_mask": (B, T) int64}`` comes with them. ``Lazy`` returns the model's own inputs.
        """


@dataclass(frozen=True)
class Dense:
    """Features of one shape, held in memory: a (N * K, ...) float32 tensor on the CPU.

    ``origin`` is a hash of what they were computed from and how; None where nobody computed them.
    """

    tensor: Tensor
    views: int = 1
    origin: str | None = None

    @property
    def identity(self) -> str:
        """``origin``, or where that is None a hash of the numbers themselves; see ``Features``."""
        return self.origin or _hash_parts("dense", self.views, hash_tensors({"features": self.tensor}))

    def __len__(self) -> int:
        return len(self.tensor) // self.views

    @property
    def dense(self) -> Tensor:
        """The (N, ...) features of the plain views: the tensor itself, not a copy of it."""
        return self.tensor[:: self.views]

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return ``{"features": (B, ...)}``; see ``Features``."""
        return {"features": self.tensor[stored_rows(rows, view, self.views)]}


@dataclass(frozen=True)
class Sharded:
    """Features in shards, which may be mapped from files that are larger than memory.

    Attributes:
        shards: what the store found.
        row_addresses: (N * K, 2) int64: the shard of each row, and its number in there.
        views: K.
        identity: a hash of what the rows were computed from and how.
    """

    shards: Sequence[Shard]
    row_addresses: np.ndarray
    views: int = 1
    identity: str = ""

    def __len__(self) -> int:
        return len(self.row_addresses) // self.views

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return ``{"features": ...}``, and ``"attention_mask"`` where rows differ in length; see ``Features``."""
        addresses = self.row_addresses[stored_rows(rows, view, self.views).numpy()]
        if self.shards[0].lengths is None:
            return {"features": self._stack_rows(addresses)}
        return self._pad_rows(addresses)

    def _stack_rows(self, addresses: np.ndarray) -> Tensor:
        features = torch.empty(len(addresses), *self.shards[0].row_shape)
        order = np.argsort(addresses[:, 0], kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(addresses[order, 0])) + 1):  # one for each shard
            for shard in addresses[group[:1], 0]:
                features[torch.from_numpy(group)] = self.shards[shard].values[addresses[group, 1]].float()
        return features

    def _pad_rows(self, addresses: np.ndarray) -> Batch:
        values = [self.shards[shard].row(number) for shard, number in addresses]
        lengths = torch.tensor([len(value) for value in values], dtype=torch.int64)
        longest = int(lengths.max()) if values else 0
        features = torch.zeros(len(values), longest, *self.shards[0].row_shape)
        for padded, value in zip(features, values, strict=True):
            padded[: len(value)] = value
        return {"features": features, "attention_mask": (torch.arange(longest) < lengths[:, None]).long()}


@dataclass(frozen=True)
class Lazy:
    """Nothing is kept: the trainable part is the whole model and takes the model's own inputs.

    Attributes:
        inputs: reads them, anew each time.
        split: the name of the split.
        n: N, how many examples it has.
        views: K.
        identity: a hash of the items and of how they become inputs.
    """

    inputs: Inputs
    split: str
    n: int
    views: int = 1
    identity: str = ""

    def __len__(self) -> int:
        return self.n

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return the inputs of these examples; see ``Features``."""
        read: Any = self.inputs.batch  # only those that augment take views
        batch: Batch = read(self.split, np.asarray(rows), *([] if view is None else [np.asarray(view)]))
        return batch


@dataclass(frozen=True)
class Joined:
    """The examples of several features, one part after another; all have the same views and kinds of columns."""

    parts: Sequence[Features]

    @property
    def views(self) -> int:
        """K."""
        return self.parts[0].views

    @property
    def identity(self) -> str:
        """A hash of those of the parts; see ``Features``."""
        return _hash_parts("joined", *(part.identity for part in self.parts))

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def batch(self, rows: Rows, view: Rows | None = None) -> Batch:
        """Return what the parts return, in the order asked for; shorter rows are padded with zeros on the right."""
        examples = torch.as_tensor(rows, dtype=torch.int64)
        views = None if view is None else torch.as_tensor(view, dtype=torch.int64)
        ends = torch.tensor([len(part) for part in self.parts]).cumsum(0)
        of_part = torch.searchsorted(ends, examples, right=True)
        row_indices, batches = [], []
        for number in sorted(set(of_part.tolist())) or [0]:
            chosen = (of_part == number).nonzero()[:, 0]
            first = ends[number] - len(self.parts[number])
            batches.append(self.parts[number].batch(examples[chosen] - first, None if views is None else views[chosen]))
            row_indices.append(chosen)
        return {name: _merge_columns([batch[name] for batch in batches], row_indices) for name in batches[0]}


def keep_on_device(features: Features, device: str) -> Features:
    """Return features that lie on the device where they take a small part of its free memory, else as they are.

    Then no step copies them there: what a head trains on is read in every epoch.
    """
    if not isinstance(features, Dense) or not device_memory.is_accelerator(device):
        return features
    size = features.tensor.numel() * features.tensor.element_size()
    if size * MIN_PARTS_OF_MEMORY > device_memory.available_bytes(device):
        return features
    return replace(features, tensor=features.tensor.to(device))


def join_features(parts: Sequence[Features]) -> Features:
    """Return the examples of several features as one; in memory where all of them are.

    Raises:
        ValueError: the parts differ in how many views of an example they have.
    """
    views = {part.views for part in parts}
    if len(views) != 1:
        raise ValueError(f"expected parts with equally many views, got {sorted(views)}")
    dense = [part for part in parts if isinstance(part, Dense)]
    if len(dense) < len(parts):
        return Joined(tuple(parts))
    return Dense(torch.cat([part.tensor for part in dense]), views.pop(), Joined(tuple(dense)).identity)


def count_vectors(features: Features) -> np.ndarray:
    """Return (N,) how many rows T the features of each example have, int64, of features that are kept in shards.

    Raises:
        TypeError: they are kept elsewhere, where all examples have as many.
    """
    if not isinstance(features, Sharded):
        raise TypeError(f"expected features in shards, got {type(features).__name__}")
    plain = features.row_addresses[:: features.views]
    return np.array([len(features.shards[shard].row(number)) for shard, number in plain], np.int64)


def _merge_columns(columns: Sequence[Tensor], row_indices: Sequence[Tensor]) -> Tensor:
    """Put the rows of (B, T, ...) columns in their places of one tensor that is as long as the longest of them."""
    if len(columns) == 1:
        return columns[0]
    longest = max(column.shape[1] for column in columns)
    merged = columns[0].new_zeros(sum(len(column) for column in columns), longest, *columns[0].shape[2:])
    for column, rows in zip(columns, row_indices, strict=True):
        merged[rows, : column.shape[1]] = column
    return merged


def _hash_parts(*parts: str | int) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def stored_rows(rows: Rows, view: Rows | None, views: int) -> Tensor:
    """Return the (B,) int64 numbers of the rows that hold these examples in these views."""
    examples = torch.as_tensor(rows, dtype=torch.int64)
    if view is None:
        return examples * views
    chosen = torch.as_tensor(view, dtype=torch.int64)
    if ((chosen < 0) | (chosen >= views)).any():
        raise IndexError(f"views are numbered from 0 to {views - 1}")
    return examples * views + chosen
