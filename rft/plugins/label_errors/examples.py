"""The training examples as the ranking reads them: a vector of features each, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rft.backbones.batch import Batch
from rft.errors import Unavailable
from rft.plugins import AuditedModel
from rft.records import Texts
from rft.stats.cross_validation import find_non_finite

MAX_EXAMPLES = 20_000  # of 1,280 features in float64 they take 200 MB
MIN_EXAMPLES = 50
_BATCH = 512


@dataclass(frozen=True)
class LabelledExamples:
    """Training examples.

    Attributes:
        features: (N, D) float32, what the trained head reads.
        labels: (N,) indices of classes, int64.
        ids: (N,) strings.
        units: (N,) whose each example is, or None.
        groups: attribute -> (N,) strings; None where the value is missing.
        drawn_from: size of the training split, of which N examples were drawn at random where it is larger.
    """

    features: np.ndarray
    labels: np.ndarray
    ids: Texts
    units: Texts | None
    groups: Mapping[str, Texts]
    drawn_from: int

    def __len__(self) -> int:
        return len(self.labels)


def read_examples(audited: AuditedModel) -> LabelledExamples:
    """Return the training examples, at most ``MAX_EXAMPLES`` of them.

    Raises:
        Unavailable: nothing was trained, what was trained reads more than a vector of each example, or the examples
            are too few or of one class or one unit.
    """
    features = audited.require_features()["train"]
    split = audited.splits["train"]
    rows = np.arange(len(split))
    if len(split) > MAX_EXAMPLES:
        rows = np.sort(np.random.default_rng([audited.seed, MAX_EXAMPLES]).choice(rows, MAX_EXAMPLES, replace=False))
    if len(rows) < MIN_EXAMPLES:
        raise Unavailable(f"{len(rows)} training examples are fewer than {MIN_EXAMPLES}")
    if not _is_vector(features.batch(rows[:1])):
        raise Unavailable(
            "more than a head was trained, and what it reads of an example is no single vector; labels are ranked "
            'where model.freeze is "all"'
        )
    vectors = np.concatenate(
        [features.batch(rows[start : start + _BATCH])["features"].numpy() for start in range(0, len(rows), _BATCH)]
    )
    if problem := find_non_finite(vectors):
        raise Unavailable(problem.reason)
    labels, units = split.labels[rows], None if split.units is None else split.units[rows]
    if len(np.unique(labels)) < 2:
        raise Unavailable("all training examples have the same label")
    if units is not None and len(np.unique(units.astype(str))) < 2:
        raise Unavailable("all training examples are of one unit, and none is left to judge them by")
    groups = {attribute: values[rows] for attribute, values in split.groups.items()}
    return LabelledExamples(vectors, labels, split.ids[rows], units, groups, len(split))


def _is_vector(batch: Batch) -> bool:
    """Return whether what is trained reads one vector of each example, and not a map, tokens or the input itself."""
    return batch.keys() == {"features"} and batch["features"].ndim == 2
