"""The table of predictions: what a model says of every example, in the columns of ``predictions.parquet``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import nn

from rft.data import Dataset
from rft.features import Features
from rft.records import Split
from rft.runtime.devices.fitting_batches import map_batches
from rft.runtime.devices.placement import place_batch

ROWS_PER_BATCH = 64  # examples that are predicted at once


def tabulate_predictions(dataset: Dataset, predict_split: Callable[[str], np.ndarray]) -> pd.DataFrame:
    """Return the table of predictions: one row an example, a probability for each class.

    Args:
        dataset: its splits, one after the other, are the rows.
        predict_split: name of a split -> (N, K) probabilities of its N examples for the K classes.
    """
    frames = [
        _tabulate_split(name, split, dataset.classes, predict_split(name)) for name, split in dataset.splits.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _tabulate_split(name: str, split: Split, classes: tuple[str, ...], probabilities: np.ndarray) -> pd.DataFrame:
    """Return the rows of one split of N examples, from (N, K) probabilities."""
    columns = {
        "split": name,
        "id": split.ids,
        "unit": split.units if split.units is not None else None,
        "label": [classes[label] for label in split.labels],
        "prediction": [classes[index] for index in probabilities.argmax(axis=1)],
    }
    columns |= {f"score_{label}": probabilities[:, index] for index, label in enumerate(classes)}
    columns |= {f"group_{attribute}": values for attribute, values in split.groups.items()}
    return pd.DataFrame(columns)


def predict_probabilities(suffix: nn.Module, features: Mapping[str, Features], device: str, split: str) -> np.ndarray:
    """Return (N, K) probabilities of a split, float64, so that a certain prediction does not round to exactly one.

    Args:
        suffix: the trained part, on ``device``.
        features: split -> what it takes, N rows.
        device: torch device name.
        split: name of the split.
    """
    suffix.eval()

    def predict_rows(rows: np.ndarray) -> np.ndarray:
        logits = suffix(place_batch(features[split].batch(rows), device))
        probabilities: np.ndarray = logits.cpu().double().softmax(dim=1).numpy()
        return probabilities

    with torch.no_grad():
        return np.concatenate([part for _, part in map_batches(predict_rows, len(features[split]), ROWS_PER_BATCH)])
