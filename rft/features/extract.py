"""The frozen part, run once over a split: eval mode, no gradients, and what the device gains from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import hash_tensors
from rft.backbones.partition.frozen_part import run_frozen_part
from rft.backbones.partition.quantization import plain_tensors
from rft.data import Inputs
from rft.data.images.inputs import Augmentation
from rft.data.items import select_items
from rft.errors import ConfigError
from rft.features import store as shard_store
from rft.features.batches import (
    HEADROOM,
    MAX_ROWS_PER_BATCH,
    USUAL_EXAMPLES,
    USUAL_TOKENS,
    BatchSizer,
    MemoryBound,
    run_all,
    try_planned_batches,
)
from rft.features.columns import Dense, Features, Sharded
from rft.features.store import Store, StoredRows, Writer
from rft.records import JsonObject, Split
from rft.runtime import memory as host
from rft.runtime.devices import device_memory
from rft.runtime.devices.placement import place_batch
from rft.runtime.float32 import describe_float32
from rft.runtime.progress import track_progress

SHARD_BYTES = 64 * 2**20
SHARD_COPIES = 3  # of a shard are in memory while it is written: its rows, joined, encoded
KEY_VERSION = 4  # raise when the same prefix and item would give other features than before


def choose_device(wanted: str | None) -> str:
    """Return the torch device: the one asked for if it is there, else cuda, mps or cpu, whichever is first."""
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if wanted is None:
        return next(name for name, there in count.items() if there)
    kind, colon, number = wanted.partition(":")
    if kind not in count or (colon and not number.isdecimal()):
        raise ConfigError(f"unknown device {wanted!r}; expected {', '.join(count)}, or cuda:1", where="--device")
    if not count[kind]:
        raise ConfigError(f"this machine or this torch has no {kind}", where="--device", remedy="Leave it out.")
    if colon and int(number) >= count[kind]:
        raise ConfigError(
            f"this machine has no {wanted}", where="--device", remedy=f"The last one is {kind}:{count[kind] - 1}."
        )
    return wanted if kind == "cuda" else kind  # of the others there is one, and cpu:0 is cpu


def choose_precision(wanted: str) -> str:
    """Return ``float32`` for ``auto``: the one precision in which predictions are the same on every device."""
    return "float32" if wanted == "auto" else wanted


@dataclass(frozen=True)
class Arithmetic:
    """What features depend on beside the precision: the kind of device, and what float32 means on it now."""

    device: str
    float32: Mapping[str, str]


def describe_arithmetic(device: str) -> Arithmetic:
    """Return how a torch device computes."""
    return Arithmetic(device.partition(":")[0], describe_float32())


def store_key(
    tensors: Mapping[str, Tensor],
    facts: JsonObject,
    precision: str,
    dtype: str = "float32",
    device: str = "cpu",
) -> str:
    """Return the hash of all that features depend on except the item.

    Args:
        tensors: parameters and buffers, of any shape, that run before the cut.
        facts: what these do not show: the cut, the preprocessing of inputs, settings such as the number of heads.
        precision, dtype: what is computed in, and what features are kept in.
        device: torch device name: other devices, and other settings of float32, add up in another order.
    """
    arithmetic = asdict(describe_arithmetic(device))
    parts = [KEY_VERSION, hash_tensors(plain_tensors(tensors)), facts, precision, dtype, arithmetic]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def features_identity(key: str, inputs: Inputs, split: Split, views: int) -> str:
    """Return the hash of all that the features of a split depend on: what ``store_key`` says, and each item in turn.

    Args:
        key: as ``store_key`` returns it.
        inputs: reads the items.
        split: its items have digests.
        views: K of each example.
    """
    return _hash_identity(key, row_digests(inputs, split, views), views)


def _hash_identity(key: str, digests: np.ndarray, views: int) -> str:
    return hashlib.sha256(json.dumps([key, views, digests.tolist()]).encode()).hexdigest()


def extract_features(
    prefix: nn.Module,
    inputs: Inputs,
    split: Split,
    store: Store,
    *,
    device: str,
    precision: str,
    dtype: str = "float32",
    views: int = 1,
    memory: int | None = None,
    alone: bool = False,
) -> Features:
    """Return the features of a split, from the store as far as they are in it.

    Args:
        prefix: the frozen part; it is moved to ``device``.
        inputs: reads the items of the split.
        split: its items and their digests.
        store: where features of this prefix are kept; what is missing is computed and added.
        device, precision: as ``choose_device`` and ``choose_precision`` return them; 8-bit tensors are in ``prefix``.
        dtype: ``float32``, or ``float16`` for half the space.
        views: K; all but the first are augmented copies.
        memory: bytes that this process may hold at any time, mapped files included, or on an accelerator that may lie
            there; None: all there is.
        alone: run each example by itself, so that its features do not depend on the others by their last digits.

    Raises:
        ConfigError: when ``memory`` is too little for one example, or features do not fit ``dtype``.
        OutputError: when the disk is full.
    """
    digests = row_digests(inputs, split, views)
    stored = store.find_rows(digests)
    missing = missing_rows(digests, stored.places)
    if len(missing):
        work = Extraction(prefix, inputs, split.items, views, device, precision, 1 if alone else MAX_ROWS_PER_BATCH)
        how = Storage(store, stored, dtype, memory)
        store_rows(work, how, f"Features of {split.name}", digests, work.order_by_cost(missing))
    return _open_features(store, stored, digests, views, memory, device)


@dataclass(frozen=True)
class Storage:
    """Where computed rows go, and how much memory computing and keeping them may take.

    Attributes:
        store, stored: where to, and what is there already.
        dtype: float32 or float16.
        memory: as in ``extract_features``.
        local_processes: how many processes on this machine take their part of its memory, where ``memory`` is None.
    """

    store: Store
    stored: StoredRows
    dtype: str
    memory: int | None
    local_processes: int = 1


def store_rows(
    work: Extraction,
    storage: Storage,
    description: str,
    digests: np.ndarray,
    ordered: CostedRows,
    share: range | None = None,
) -> None:
    """Compute rows and store them.

    Args:
        work: what is run.
        storage: where they go.
        description: shown beside the bar.
        digests: (N * K,) of all rows.
        ordered: (M,) the rows that are missing.
        share: which of the M rows are computed here, from a multiple of ``SHARD_ROWS`` on; all when None.
    """
    share = range(len(ordered.rows)) if share is None else share
    shard_bytes = min(SHARD_BYTES, storage.memory // 64) if storage.memory else SHARD_BYTES
    bound = _memory_bound(storage.memory, SHARD_COPIES * shard_bytes, work.device, storage.local_processes)
    writer = Writer(storage.store, storage.stored, np.dtype(storage.dtype), shard_bytes)
    with work.placed_on_device(), writer:
        rows = work.computed_rows(ordered, bound, share)
        for number, row, ragged in track_progress(rows, description, total=len(share)):
            writer.add_row(digests[number], row, ragged=ragged)


def run_batches(
    prefix: nn.Module, inputs: Any, items: Sequence[Any], batches: Sequence[np.ndarray], *, device: str, precision: str
) -> list[Batch]:
    """Return what the frozen part gives for each (B,) batch of rows of ``items``, computed as extraction does."""
    work = Extraction(prefix, inputs, items, 1, device, precision)
    with work.placed_on_device():
        return list(work._run_batches(list(batches)))


def row_digests(inputs: Inputs, split: Split, views: int) -> np.ndarray:
    """Return the (N * K,) digests of all that features are kept of: for a view, over its item and what augments it."""
    assert split.digests is not None
    if views == 1:
        return split.digests
    augmentation = inputs.augmentation  # type: ignore[attr-defined]  # only those that augment have it
    digests = [_view_digest(digest, view, augmentation) for digest in split.digests for view in range(views)]
    return np.array(digests, dtype=object)


def _view_digest(digest: str, view: int, augmentation: Augmentation) -> str:
    if view == 0:  # the plain item, whatever augments the others
        return digest
    return hashlib.sha256(json.dumps([digest, view, asdict(augmentation)], sort_keys=True).encode()).hexdigest()


def missing_rows(digests: np.ndarray, stored: Container[str]) -> np.ndarray:
    """Return (M,) the first row of each of (N * K,) digests that is not stored yet, in order."""
    _, first = np.unique(digests.astype(str), return_index=True)
    return np.array([row for row in sorted(first) if digests[row] not in stored], dtype=np.int64)


def _memory_bound(memory: int | None, reserved: int, device: str, local_processes: int) -> MemoryBound:
    if memory is None:
        sharing = 1 if device_memory.is_accelerator(device) else local_processes  # each has a GPU of its own
        return MemoryBound(device_memory.held_bytes(device) + device_memory.available_bytes(device) // sharing)
    if device_memory.is_accelerator(device):  # where no shards are
        return MemoryBound(memory)
    if not host.is_measurable():
        raise ConfigError(
            "this system does not say how much memory a process holds; Linux does",
            where="model.memory",
            remedy="Leave it out.",
        )
    return MemoryBound(memory, reserved)


@dataclass(frozen=True)
class CostedRows:
    """Rows in the order in which they are computed, the longest first.

    Attributes:
        rows: (M,) int64 numbers of rows.
        costs: (M,) int64 what each costs: 1 for an image, its tokens for a text.
        usual: the usual cost of a batch.
    """

    rows: np.ndarray
    costs: np.ndarray
    usual: int


@dataclass(frozen=True)
class Extraction:
    """What is run, on what, and how."""

    prefix: nn.Module
    inputs: Any
    items: Sequence[Any]
    views: int
    device: str
    precision: str
    most_rows: int = MAX_ROWS_PER_BATCH

    @contextmanager
    def placed_on_device(self) -> Iterator[None]:
        """Have the prefix on the device, laid out channels-last where that is faster; plain strides come back.

        It goes back to where it came from: while a head trains, an accelerator has memory for better things.
        """
        origin = next((tensor.device for tensor in self.prefix.parameters()), torch.device(self.device))
        flat = all(tensor.dim() != 5 for tensor in self.prefix.parameters())  # Conv3d has no such layout
        layout = torch.channels_last if flat and self.device != "mps" else torch.contiguous_format
        self.prefix.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        try:
            yield
        finally:  # trained copies may share its tensors, and gradients of one example need plain strides
            self.prefix.to(device=origin, memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def order_by_cost(self, missing: np.ndarray) -> CostedRows:
        """Return (M,) missing rows as they are computed."""
        count = getattr(self.inputs, "lengths", None)  # texts have lengths, images do not
        items = select_items(self.items, missing // self.views)
        costs = count(items) if count else np.ones(len(missing), np.int64)
        order = np.argsort(-costs, kind="stable")
        return CostedRows(missing[order], costs[order], USUAL_TOKENS if count else USUAL_EXAMPLES)

    def computed_rows(
        self, ordered: CostedRows, bound: MemoryBound, share: range
    ) -> Iterator[tuple[int, np.ndarray, bool]]:
        """Yield for a share of (M,) rows: its number, its features, whether they are (T, ...)."""
        accelerated = device_memory.is_accelerator(self.device)
        sizer = BatchSizer(
            ordered.costs,
            ordered.usual,
            bound,
            accelerated=accelerated,
            most_rows=self.most_rows,
            device=self.device,
            block=None if accelerated else shard_store.SHARD_ROWS,
            share=share,
        )

        def run(batches: list[np.ndarray]) -> Iterator[Batch]:
            return self._run_batches([ordered.rows[batch] for batch in batches])

        if share.start and not accelerated:
            try_planned_batches(sizer, run)
        for batch, computed in run_all(sizer, run):
            features, ragged = computed["features"].numpy(), "attention_mask" in computed
            lengths = computed["attention_mask"].sum(dim=1).int().tolist() if ragged else [None] * len(features)
            for number, row, length in zip(ordered.rows[batch].tolist(), features, lengths, strict=True):
                yield number, row[:length], ragged

    def _run_batches(self, batches: list[np.ndarray]) -> Iterator[Batch]:
        # Only those inputs that augment take views.
        views = [[batch % self.views for batch in batches]] if self.views > 1 else []
        prepared = self.inputs.batches(self.items, [batch // self.views for batch in batches], *views)
        kind = self.device.partition(":")[0]  # mps has no such layout
        for inputs in prepared:
            placed = place_batch(inputs, self.device)
            if "pixels" in placed and kind != "mps":
                placed["pixels"] = placed["pixels"].contiguous(memory_format=torch.channels_last)
            with torch.no_grad():  # and not inference_mode: tensors made in that cannot train a head
                computed = run_frozen_part(self.prefix, placed, self.precision)
            yield {name: tensor.float().cpu() for name, tensor in computed.items()}


def _open_features(
    store: Store, stored: StoredRows, digests: np.ndarray, views: int, memory: int | None, device: str
) -> Features:
    """Return the features of (N * K,) digests in memory where they take a small part of it, else mapped from files."""
    addresses = np.array([stored.places[digest] for digest in digests], np.int64).reshape(-1, 2)
    host.release_freed_memory()  # what the last batches left behind
    room = host.available_bytes() // 2
    if memory is not None:  # other splits, and the shards while they are read, take some as well
        # The libraries of an accelerator take gigabytes of the process, which ``memory`` is not about then.
        held = 0 if device_memory.is_accelerator(device) else host.resident_bytes()
        room = min(memory // 8, (int(memory * HEADROOM) - held) // 2)
    assert stored.layout is not None
    identity = _hash_identity(store.key, digests, views)
    if stored.layout.ragged:
        size = sum(path.stat().st_size for path in stored.paths)
        return Sharded(store.open_shards(stored, mapped=size > room), addresses, views, identity)
    mapped = Sharded(store.open_shards(stored, mapped=True), addresses, views, identity)
    if len(addresses) * math.prod(stored.layout.row_shape) * 4 > room:
        return mapped
    return Dense(replace(mapped, views=1).batch(np.arange(len(addresses)))["features"], views, identity)
