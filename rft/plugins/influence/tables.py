"""The tables of the section: groups whose predictions rest on single units, traced predictions, nearest examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rft.disclosure.withheld import Withheld
from rft.plugins.group_rows import tabulate_groups
from rft.plugins.influence.refit import Contrast, RidgeRefit
from rft.plugins.training_vectors import LabelledExamples
from rft.records import Columns, Row, Table, Texts, list_columns
from rft.stats.rates import Rate

LISTED = 5  # training examples for, and against, and nearest to, each traced prediction
MIN_GROUP = 10  # test examples of a group of which a share is given

CAPTIONS = {
    "by_group": "Test predictions of the refit that would be another class without one unit of the training examples.",
    "traced": "For each traced test prediction the training examples whose unit the refit's margin owes most to, and "
    "those whose unit it suffers most from. The effect is what the margin would lose without that unit, named by its "
    "first example.",
    "nearest": "The training examples most alike to each traced test example, by the cosine of their features.",
}
COLUMNS: dict[str, Columns] = {
    "by_group": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "share": "estimate",
            "low": "low",
            "high": "high",
            "resting": "count",
            "n": "count",
            "status": "status",
        },
        labels={"share": "share that one unit changes", "resting": "that one unit changes", "n": "predictions"},
    ),
    "traced": list_columns(
        {
            "example": "key",
            "label": "class",
            "prediction": "key",
            "side": "name",
            "training_example": "key",
            "training_label": "key",
            "effect": "number",
        },
        labels={"example": "test example", "side": "speaks"},
    ),
    "nearest": list_columns(
        {"example": "key", "training_example": "key", "training_label": "class", "similarity": "number"},
        labels={"example": "test example"},
    ),
}


@dataclass(frozen=True)
class TracedPredictions:
    """Test predictions that are traced.

    Attributes:
        ids: (T,) of the test examples.
        labels: (T,) indices of their classes.
        features: (T, D) float32, as the head reads them.
        contrast: of their predictions.
    """

    ids: Texts
    labels: np.ndarray
    features: np.ndarray
    contrast: Contrast


def group_table(
    rests_on_one: np.ndarray, groups: Mapping[str, Texts], units: Texts | None, withheld: Withheld
) -> Table:
    """Return a row for each group of the test examples whose predictions were looked at.

    Args:
        rests_on_one: (J,) booleans, whether leaving one unit out changes the refit's prediction.
        groups: attribute -> (J,) strings; None where the value is missing.
        units: (J,) whose each test example is, or None.
        withheld: what must not be told of small groups.
    """

    def describe(member: np.ndarray) -> Row:
        resting = rests_on_one[member]
        counts: Row = {"resting": int(resting.sum()), "n": len(resting)}
        return counts | _measure_share(resting, None if units is None else units[member])

    return tabulate_groups(rests_on_one, groups, withheld, describe)


def _measure_share(rests_on_one: np.ndarray, units: Texts | None) -> Row:
    if len(rests_on_one) < MIN_GROUP:
        return {"share": None, "low": None, "high": None, "status": f"too few: under {MIN_GROUP} predictions"}
    rate = Rate.from_rows(rests_on_one, units)
    interval = rate.confidence_interval()
    return {"share": rate.value, "low": interval.low, "high": interval.high, "status": "ok"}


def traced_table(
    traced: TracedPredictions, refit: RidgeRefit, examples: LabelledExamples, classes: Sequence[str]
) -> Table:
    """Return a row for each of the units that speak most for and most against each prediction.

    A unit is named by its first training example; its label is each class that the unit has an example of.
    """
    influence = refit.trace_margins(traced.features, traced.contrast)
    first_row = np.unique(refit.unit_codes, return_index=True)[1]
    rows: Table = []
    for index, effects in enumerate(influence):
        order = np.argsort(effects, kind="stable")
        speaking = [("for", unit) for unit in order[::-1][:LISTED].tolist() if effects[unit] > 0]
        speaking += [("against", unit) for unit in order[:LISTED].tolist() if effects[unit] < 0]
        for side, unit in speaking:
            row = _name_example(traced, index, classes) | {"side": side, "effect": float(effects[unit])}
            labels = np.unique(examples.labels[refit.unit_codes == unit])
            row |= {"training_example": str(examples.ids[first_row[unit]])}
            rows.append(row | {"training_label": ", ".join(classes[label] for label in labels)})
    return rows


def nearest_table(traced: TracedPredictions, examples: LabelledExamples, classes: Sequence[str]) -> Table:
    """Return a row for each of the training examples nearest to each traced test example, the nearest first."""
    mean = examples.features.mean(axis=0)
    points, others = (_normalize_rows(vectors - mean) for vectors in (traced.features, examples.features))
    rows: Table = []
    for index, similarities in enumerate(points @ others.T):
        nearest = np.argsort(-similarities, kind="stable")[:LISTED].tolist()
        for row in nearest:
            named: Row = {"example": str(traced.ids[index]), "similarity": float(similarities[row])}
            training: Row = {
                "training_example": str(examples.ids[row]),
                "training_label": classes[examples.labels[row]],
            }
            rows.append(named | training)
    return rows


def _normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Return (B, D) rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0))


def _name_example(traced: TracedPredictions, index: int, classes: Sequence[str]) -> Row:
    return {
        "example": str(traced.ids[index]),
        "label": classes[traced.labels[index]],
        "prediction": classes[traced.contrast.classes[index]],
    }
