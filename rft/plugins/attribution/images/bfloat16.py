"""Are the maps of a model whose frozen part computes in bfloat16 those of the same weights in float32?

Attribution explains the model as it is audited, and never rounds by itself: it computes in bfloat16 only where the
config has ``model.precision = "bfloat16"``, and so the predictions do. A map is then made of rounded numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from rft.backbones.classifier import Classifier
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.network import Network
from rft.records import Finding, FindingDefinition

LEAST_CORRELATION = 0.99
COMPARED = 4  # images


def bfloat16_finding(network: Network, group: Attributed) -> Finding | None:
    """Return how alike the maps of a few images are in both; None for a model that computes in float32."""
    model, method = network.model, group.method
    if not isinstance(model, Classifier) or model.frozen_part.precision != "bfloat16":
        return None
    batch = group.explained.read_batch(slice(0, COMPARED))
    rounded = method.map_images(network, batch)
    with _in_float32(model):
        exact = method.map_images(network, batch)
    correlations = [_correlate(*pair) for pair in zip(rounded, exact, strict=True)]
    defined = [value for value in correlations if np.isfinite(value)]
    definition = FindingDefinition(
        "attribution.bfloat16_maps",
        "Likeness of maps in bfloat16 to those in float32",
        "The frozen part of this model computes in bfloat16. The least correlation between a map and that of the same "
        "image by the same weights in float32, of a few images.",
        unit="correlation",
        better="higher",
        caveats=f"Below {LEAST_CORRELATION:g} it needs a review: the maps show rounding errors too.",
        cases="none",
        remedy='Set model.precision = "float32".',
    )
    if not defined:
        return definition.state_not_measured("no map of the few images that are compared says anything", n=0)
    least = min(defined)
    return definition.state_fact(least, n=len(defined), status="warn" if least < LEAST_CORRELATION else "info")


@contextmanager
def _in_float32(model: Classifier) -> Iterator[None]:
    part = model.frozen_part
    model.frozen_part = replace(part, precision="float32")
    try:
        yield
    finally:
        model.frozen_part = part


def _correlate(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of two (h, w) maps, NaN where one is the same everywhere or not finite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(first.ravel().astype(np.float64), second.ravel().astype(np.float64))[0, 1])
