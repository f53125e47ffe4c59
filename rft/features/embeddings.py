"""Features of labelled training examples, for asking how far a backbone carries before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Embeddings:
    """What a backbone makes of a random sample of the training split. No example of another split is among them.

    Attributes:
        pretrained: (n, D) float32 features of the backbone as it was loaded.
        untrained: (n, D) float32 features of the same network with random weights, or None.
        labels: (n,) indices of classes.
        units: (n,) strings naming whose each example is, or None when every example stands for itself.
        groups: attribute -> (n,) strings; None where the value is missing.
        sampled_from: size of the training split.
    """

    pretrained: np.ndarray
    untrained: np.ndarray | None
    labels: np.ndarray
    units: np.ndarray | None
    groups: Mapping[str, np.ndarray]
    sampled_from: int
