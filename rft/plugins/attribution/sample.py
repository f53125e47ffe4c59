"""Random choices of the attribution audit, each from a generator of its own."""

from __future__ import annotations

import zlib

import numpy as np

from rft.errors import Unavailable
from rft.plugins import AuditedModel


def random_generator(audited: AuditedModel, purpose: str) -> np.random.Generator:
    """Return a generator that depends on the run's seed and its purpose alone, not on what was drawn before."""
    return np.random.default_rng([audited.seed, zlib.crc32(f"attribution {purpose}".encode())])


def explained_rows(audited: AuditedModel, samples: int) -> np.ndarray:
    """Return sorted rows of the test split to be explained.

    They are a simple random sample, so that means over them speak for all of it.

    Raises:
        Unavailable: when the test split is empty.
    """
    n = len(audited.splits["test"])
    if n == 0:
        raise Unavailable("there is no test example")
    return np.sort(random_generator(audited, "explained").choice(n, size=min(samples, n), replace=False))


def explained_units(audited: AuditedModel, rows: np.ndarray) -> np.ndarray | None:
    """Return whose example each of these rows of the test split is; None when no unit was declared."""
    units = audited.splits["test"].units
    return None if units is None else units[rows]


def describe_predictions(audited: AuditedModel, rows: np.ndarray, target: np.ndarray) -> list[str]:
    """Return the label and the prediction of each of (N,) rows of the test split, in words."""
    classes, labels = audited.facts.classes, audited.splits["test"].labels[rows]
    pairs = zip(labels, target, strict=True)
    return [f"label {classes[label]}, predicted {classes[predicted]}" for label, predicted in pairs]
