"""Batches on their way to a device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def place_batch(batch: Mapping[str, Tensor], device: str | torch.device) -> dict[str, Tensor]:
    """Return the columns of a batch on a device.

    To CUDA they go by page-locked memory, from where the copy runs beside what the host does next. Only there: MPS has
    no such copies, and from ordinary memory one that is not waited for may be overtaken.
    """
    place = torch.device(device)
    if place.type != "cuda":
        return {name: column.to(place) for name, column in batch.items()}
    return {name: _copy_beside(column, place) for name, column in batch.items()}


def _copy_beside(column: Tensor, place: torch.device) -> Tensor:
    return column.pin_memory().to(place, non_blocking=True) if column.device.type == "cpu" else column.to(place)
