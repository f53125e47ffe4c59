"""A new head from as many examples of each group in each class: deep feature reweighting.

Source: Kirichenko, Izmailov and Wilson 2022, arXiv:2204.02937 (ICLR 2023), section 6: logistic regression on subsets in
which all cells of group and class have the same size, its weights averaged over several subsets. The penalty here is
the square of the weights and not their absolute values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rft.plugins.fairness.mitigation.dataset import Material, Part
from rft.plugins.fairness.mitigation.decision_rules import LinearHead
from rft.plugins.fairness.mitigation.methods.candidates import Candidate, quiet
from rft.plugins.fairness.mitigation.methods.logistic import Space, head, regression

METHOD = "balanced"
STRENGTHS = (1.0, 10.0, 100.0)
SUBSETS = 10
FEWEST = 5  # examples of each cell in a subset
SAMPLING = 0xDF12  # sets the subsets apart from other uses of the run's seed


def candidates(material: Material) -> Iterator[Candidate]:
    """Yield a head for each strength of the penalty."""
    fit = material.fit
    cells = cells_of(fit)
    size = min(len(cell) for cell in cells)
    wanted = len(np.unique(fit.rows.groups.astype(str))) * len(material.classes)
    reason = ""
    if len(cells) < wanted:
        reason = f"{wanted - len(cells)} of {wanted} cells of group and class have no training example"
    elif size < FEWEST:
        reason = f"the smallest cell of group and class has {size} training examples; {FEWEST} are needed"
    for strength in STRENGTHS:
        setting = f"C {strength:g}"
        if reason:
            yield Candidate(METHOD, setting=setting, reason=reason)
        else:
            yield Candidate(METHOD, setting=setting, rule=averaged(material, cells, strength))


def averaged(material: Material, cells: list[np.ndarray], strength: float) -> LinearHead:
    """Return the mean of the heads of ``SUBSETS`` random subsets, each with as many examples of every cell."""
    rng = np.random.default_rng([material.seed, SAMPLING])
    features, labels = material.fit.rows.features, material.fit.labels
    space = Space.of(features)
    heads = []
    for _ in range(SUBSETS):
        rows = subset(cells, rng)
        with quiet():
            model = regression(strength).fit(space.of_rows(features[rows]), labels[rows])
        heads.append(head(model, len(material.classes), space))
    weights, biases = zip(*heads, strict=True)
    return LinearHead(np.mean(weights, axis=0), np.mean(biases, axis=0))


def cells_of(part: Part) -> list[np.ndarray]:
    """Return the numbers of the examples of each group in each class, without cells that are empty."""
    names = [f"{label}\n{group}" for label, group in zip(part.labels, part.rows.groups, strict=True)]
    _, codes = np.unique(names, return_inverse=True)
    return [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]


def subset(cells: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the numbers of as many examples of each cell as the smallest has, drawn without replacement."""
    size = min(len(cell) for cell in cells)
    return np.concatenate([rng.choice(cell, size, replace=False) for cell in cells])
