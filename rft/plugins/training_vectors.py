"""Examples as a linear head reads them, a vector of features each, for plugins that fit something to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rft.backbones.batch import Batch
from rft.backbones.classifier import scale_rows
from rft.errors import Unavailable
from rft.features import Features
from rft.plugins import AuditedModel
from rft.records import Texts
from rft.stats.cross_validation import find_non_finite
from rft.training.linear_heads import linear_head_vectors

MAX_EXAMPLES = 20_000  # of 1,280 features in float64 they take 200 MB
MIN_EXAMPLES = 50
_BATCH = 512


@dataclass(frozen=True)
class LabelledExamples:
    """Training examples.

    Attributes:
        features: (N, D) float32, what the trained head reads, scaled as it scales them.
        labels: (N,) indices of classes, int64.
        ids: (N,) strings.
        units: (N,) whose each example is, or None.
        groups: attribute -> (N,) strings; None where the value is missing.
        drawn_from: size of the training split, of which N examples were drawn at random where it is larger.
        rows: (N,) rows of the training split.
    """

    features: np.ndarray
    labels: np.ndarray
    ids: Texts
    units: Texts | None
    groups: Mapping[str, Texts]
    drawn_from: int
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_examples(audited: AuditedModel) -> LabelledExamples:
    """Return the training examples, at most ``MAX_EXAMPLES`` of them.

    Raises:
        Unavailable: nothing was trained, what was trained reads more than a vector of each example, the training
            split is withheld, or the examples are too few or of one class or one unit.
    """
    audited.withheld.require_split("train")
    features, split = audited.require_features()["train"], audited.splits["train"]
    rows = np.arange(len(split))
    if len(split) > MAX_EXAMPLES:
        rows = np.sort(np.random.default_rng([audited.seed, MAX_EXAMPLES]).choice(rows, MAX_EXAMPLES, replace=False))
    if len(rows) < MIN_EXAMPLES:
        raise Unavailable(f"{len(rows)} training examples are fewer than {MIN_EXAMPLES}")
    if not _is_vector(features.batch(rows[:1])):
        raise Unavailable(
            "more than a head was trained, and what it reads of an example is no single vector; this is measured "
            'where model.freeze is "all"'
        )
    vectors = read_vectors(audited, "train", rows)
    labels, units = split.labels[rows], None if split.units is None else split.units[rows]
    if len(np.unique(labels)) < 2:
        raise Unavailable("all training examples have the same label")
    if units is not None and len(np.unique(units.astype(str))) < 2:
        raise Unavailable("all training examples are of one unit, and none is left to judge them by")
    groups = {attribute: values[rows] for attribute, values in split.groups.items()}
    return LabelledExamples(vectors, labels, split.ids[rows], units, groups, len(split), rows)


def read_vectors(audited: AuditedModel, split: str, rows: np.ndarray) -> np.ndarray:
    """Return (B, D) float32 features of rows of a split, scaled as the trained head scales them.

    Raises:
        Unavailable: some are not finite.
    """
    features: Features = audited.require_features()[split]
    heads = linear_head_vectors(audited.require_task())
    row_norm = heads is not None and heads.row_norm
    parts = [features.batch(rows[start : start + _BATCH])["features"] for start in range(0, len(rows), _BATCH)]
    vectors: np.ndarray = np.concatenate([scale_rows(part, row_norm=row_norm).numpy() for part in parts])
    if problem := find_non_finite(vectors):
        raise Unavailable(problem.reason)
    return vectors


def _is_vector(batch: Batch) -> bool:
    """Return whether what is trained reads one vector of each example, and not a map, tokens or the input itself."""
    return batch.keys() == {"features"} and batch["features"].ndim == 2
