"""The frozen part, run once over a split: eval mode, no gradients, and what the device gains from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from rft.backbones import Prefix, hash_tensors
from rft.data import Inputs
from rft.errors import ConfigError
from rft.features.store import Store
from rft.progress import track
from rft.records import Split

BATCH = 32
SHARD_ROWS = 256  # how much an interruption can cost
MEANING = 1  # raise when the same prefix and item would give other features than before


def choose_device(wanted: str | None) -> str:
    """Return the torch device: the one asked for if it is there, else cuda, mps or cpu, whichever is first."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted is None:
        return next(name for name, there in available.items() if there)
    kind = wanted.partition(":")[0]
    if kind not in available:
        raise ConfigError(f"unknown device {wanted!r}; expected {', '.join(available)}", where="--device")
    if not available[kind]:
        raise ConfigError(f"this machine or this torch has no {kind}", where="--device", remedy="Leave it out.")
    return wanted


def choose_precision(wanted: str, device: str) -> str:
    """Return ``bfloat16`` where ``auto`` finds hardware that computes in it, else ``float32``."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu":
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"
    return "float32"


def store_key(prefix: Prefix, preprocessing: dict[str, Any], precision: str) -> str:
    """Return the hash of all that features depend on except the item: weights, preprocessing, precision."""
    parts = [MEANING, hash_tensors(prefix.state_dict()), type(prefix.backbone).__qualname__, preprocessing, precision]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def extract(prefix: Prefix, inputs: Inputs, split: Split, store: Store, *, device: str, precision: str) -> torch.Tensor:
    """Return the (N, D) float32 features of a split, from the store as far as they are in it.

    Args:
        prefix: the frozen part; it is moved to ``device`` and laid out channels-last where that is faster.
        inputs: reads the items of the split.
        split: its items and their digests.
        store: where features of this prefix are kept; what is missing is computed and added.
        device, precision: as ``choose_device`` and ``choose_precision`` return them.
    """
    assert split.digests is not None
    known = store.read(split.digests)
    missing = _first_rows(split.digests, known)
    for start in range(0, len(missing), SHARD_ROWS):
        rows = missing[start : start + SHARD_ROWS]
        computed = np.concatenate(list(_run(prefix, inputs, split, rows, device, precision)))
        store.write(split.digests[rows], computed)
        known |= dict(zip(split.digests[rows], computed, strict=True))
    return torch.from_numpy(np.stack([known[digest] for digest in split.digests]))


def _first_rows(digests: np.ndarray, known: dict[str, np.ndarray]) -> np.ndarray:
    """Return one row for each item that is not known yet, in order."""
    _, first = np.unique(digests.astype(str), return_index=True)
    return np.array([row for row in sorted(first) if digests[row] not in known], dtype=np.int64)


def _run(
    prefix: Prefix, inputs: Inputs, split: Split, rows: np.ndarray, device: str, precision: str
) -> Iterator[np.ndarray]:
    layout = torch.contiguous_format if device == "mps" else torch.channels_last
    prefix.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    reduced = precision == "bfloat16"
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    decoded = inputs.batches(split.items, batches)
    # no_grad and not inference_mode: tensors made in the latter cannot train a head.
    with torch.no_grad(), torch.autocast(device.partition(":")[0], torch.bfloat16) if reduced else nullcontext():
        for pixels in track(decoded, f"Features of {split.name}", total=len(batches)):
            features = prefix(pixels.to(device=device, memory_format=layout))["features"]
            yield features.float().cpu().numpy()
