"""Run the frozen part once over the data and keep what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.features.store import Store, cache_folder

__all__ = ["Features", "Store", "cache_folder"]


@dataclass(frozen=True)
class Features:
    """Outputs of the frozen part for the N examples of a split: one dense column, (N, D) float32 on the CPU."""

    dense: Tensor

    def __len__(self) -> int:
        return len(self.dense)

    def batch(self, rows: Tensor | np.ndarray) -> dict[str, Tensor]:
        """Return ``{"features": (B, D)}`` for these rows, as the suffix takes it."""
        return {"features": self.dense[torch.as_tensor(rows)]}

    def all(self) -> dict[str, Tensor]:
        """Return the batch of all rows."""
        return {"features": self.dense}
