"""A new head from as many examples of each group in each class: deep feature reweighting.

Source: Kirichenko, Izmailov and Wilson 2022, arXiv:2204.02937 (ICLR 2023), section 6: logistic regression on subsets in
which all cells of group and class have the same size, its weights averaged over several subsets. The penalty here is
the square of the weights and not their absolute values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rft.plugins.fairness.mitigation.dataset import MitigationData, MitigationExamples
from rft.plugins.fairness.mitigation.decision_rules import LinearHead
from rft.plugins.fairness.mitigation.methods.candidates import Candidate, suppress_warnings
from rft.plugins.fairness.mitigation.methods.logistic import FeatureSpace, new_regression, weights_and_biases

METHOD = "dfr"
STRENGTHS = (1.0, 10.0, 100.0)
SUBSETS = 10
MIN_EXAMPLES_PER_CELL = 5  # examples of each cell in a subset
SAMPLING = 0xDF12  # sets the subsets apart from other uses of the run's seed


def fit_candidates(material: MitigationData) -> Iterator[Candidate]:
    """Yield a head for each strength of the penalty."""
    fit = material.fit
    cells = index_cells(fit)
    size = min(len(cell) for cell in cells)
    wanted = len(np.unique(fit.rows.groups.astype(str))) * len(material.classes)
    reason = ""
    if len(cells) < wanted:
        reason = f"{wanted - len(cells)} of {wanted} cells of group and class have no training example"
    elif size < MIN_EXAMPLES_PER_CELL:
        reason = (
            f"the smallest cell of group and class has {size} training examples; {MIN_EXAMPLES_PER_CELL} are needed"
        )
    for strength in STRENGTHS:
        setting = f"C {strength:g}"
        if reason:
            yield Candidate(METHOD, setting=setting, reason=reason)
        else:
            yield Candidate(METHOD, setting=setting, rule=average_heads(material, cells, strength))


def average_heads(material: MitigationData, cells: list[np.ndarray], strength: float) -> LinearHead:
    """Return the mean of the heads of ``SUBSETS`` random subsets, each with as many examples of every cell."""
    rng = np.random.default_rng([material.seed, SAMPLING])
    features, labels = material.fit.rows.features, material.fit.labels
    space = FeatureSpace.from_features(features)
    heads = []
    for _ in range(SUBSETS):
        rows = draw_subset(cells, rng)
        with suppress_warnings():
            model = new_regression(strength).fit(space.project_rows(features[rows]), labels[rows])
        heads.append(weights_and_biases(model, len(material.classes), space))
    weights, biases = zip(*heads, strict=True)
    return LinearHead(np.mean(weights, axis=0), np.mean(biases, axis=0))


def index_cells(part: MitigationExamples) -> list[np.ndarray]:
    """Return the (n_c,) indices of the examples of each group in each class, without cells that are empty."""
    names = [f"{label}\n{group}" for label, group in zip(part.labels, part.rows.groups, strict=True)]
    _, codes = np.unique(names, return_inverse=True)
    return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]


def draw_subset(cells: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the (C n,) indices of as many examples of each of C cells as the smallest has, drawn without repeats."""
    size = min(len(cell) for cell in cells)
    return np.concatenate([rng.choice(cell, size, replace=False) for cell in cells])
