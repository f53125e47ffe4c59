"""The tables and figures of the test split: classes, confusion, calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rft.disclosure.withheld import Withheld
from rft.plugins.performance import measures
from rft.plugins.performance.measures import Split
from rft.predictions.table import PredictionArrays
from rft.records import (
    Columns,
    Figure,
    Role,
    Row,
    Table,
    dots_figure,
    heatmap_figure,
    label_counts,
    lines_figure,
    list_columns,
)
from rft.stats.rates import Rate
from rft.stats.scores.classification import METRICS, Ratios

MAX_HEATMAP_CLASSES = 40  # classes


def test_tables(split: Split, withheld: Withheld) -> dict[str, Table]:
    """Return the tables by name; ``calibration`` is absent without scores."""
    rows = split.rows
    tables = {"by_class": _class_table(rows), "confusion": _confusion_table(rows, rows.confusion)}
    if withheld.below:
        few = {
            name
            for index, name in enumerate(rows.classes)
            if withheld.is_small(rows.n_where(rows.predictions == index))
        }
        tables = {name: [_show_row(row, few, withheld) for row in table] for name, table in tables.items()}
    return tables if rows.scores is None else tables | {"calibration": _calibration_table(split, rows.scores)}


def _show_row(row: Row, few: set[str], withheld: Withheld) -> Row:
    """Return a row as it is shown where something may be withheld.

    A share of a class with enough examples is shown; the number that it is of them is a count that may be small, and a
    precision of a class that few were given (``few``) rests on these.
    """
    if row.get("class", row.get("label")) in withheld.classes_of("test"):
        numbers = ("precision", "recall", "f1", "n", "share")
        return {**row, **{name: None for name in numbers if name in row}, "status": withheld.reason}
    if "prediction" in row:
        return {**row, "n": None, "status": "ok"}
    if row["class"] in few:
        return {**row, "precision": None, "status": f"precision {withheld.reason}"}
    return {**row, "status": "ok"}


def _class_table(rows: PredictionArrays) -> Table:
    ratios = {
        "precision": Ratios.from_metric(METRICS["precision"], rows.classes, None),
        "recall": Ratios.from_metric(METRICS["tpr"], rows.classes, None),
        "f1": Ratios.from_macro_f1(rows.classes),
    }
    columns = {column: ratio.ratio_values(rows.confusion) for column, ratio in ratios.items()}
    return [
        {
            "class": name,
            **{column: _defined_or_none(values[index]) for column, values in columns.items()},
            "n": rows.n_where(rows.labels == index),
        }
        for index, name in enumerate(rows.classes)
    ]


def _defined_or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _confusion_table(rows: PredictionArrays, counts: np.ndarray) -> Table:
    """Return one row a cell; the empty cells of a matrix too large to be drawn are left out."""
    everything = len(rows.classes) <= MAX_HEATMAP_CLASSES
    sizes = counts.sum(axis=1)
    return [
        {
            "label": rows.classes[label],
            "prediction": rows.classes[prediction],
            "n": int(counts[label, prediction]),
            "share": float(counts[label, prediction] / sizes[label]) if sizes[label] else None,
        }
        for label, prediction in np.ndindex(counts.shape)
        if everything or counts[label, prediction]
    ]


def _calibration_table(split: Split, scores: np.ndarray) -> Table:
    rows = split.rows
    confidence, correct, bins = measures.confidence_bins(split, scores)
    table: Table = []
    for number in range(bins.max() + 1):
        in_bin = bins == number
        rate = Rate.from_rows(correct[in_bin], None if rows.units is None else rows.units[in_bin])
        interval = rate.confidence_interval()
        table.append(
            {
                "bin": number + 1,
                "confidence": float(confidence[in_bin].mean()),
                "accuracy": rate.value,
                "low": interval.low,
                "high": interval.high,
                "n": rows.n_where(in_bin),
            }
        )
    return table


WITH_TRAIN = "Each measure on test, with its 95 % interval, and on train, the examples that the model was trained on."
CAPTIONS = {
    "metrics": "Each measure on test, with its 95 % interval.",
    "by_class": "Precision, recall and F1 of each class on test.",
    "confusion": "Test examples by label and prediction; share is of the label.",
    "calibration": "Test examples in bins of equal size by the confidence in the predicted class.",
}
_FIXED: dict[str, Columns] = {
    "by_class": list_columns(
        {
            "class": "class",
            "precision": "number",
            "recall": "number",
            "f1": "number",
            "n": "count",
            "status": "status",
        },
        labels={"f1": "F1"},
    ),
    "confusion": list_columns(
        {"label": "class", "prediction": "key", "share": "number", "n": "count", "status": "status"},
        labels={"n": "examples"},
    ),
    "calibration": list_columns(
        {"bin": "key", "confidence": "key", "accuracy": "estimate", "low": "low", "high": "high", "n": "count"}
    ),
}


def declare_columns(titles: Mapping[str, str], counted: str) -> dict[str, Columns]:
    """Return the columns of every table of the section, by table.

    Args:
        titles: what each measure is called.
        counted: what ``n`` counts.
    """
    roles: dict[str, Role] = {
        "split": "key",
        "metric": "metric",
        "value": "estimate",
        "low": "low",
        "high": "high",
        "n": "count",
        "unit": "note",
    }
    return label_counts({"metrics": list_columns(roles, spellings={"metric": titles}), **_FIXED}, counted)


def test_figures(rows: PredictionArrays) -> tuple[Figure, ...]:
    """Return the figures: measures, reliability when there are scores, confusion when it can be drawn."""
    n = len(rows.labels)
    metrics = dots_figure(
        id="performance_metrics",
        lead=True,
        table="metrics",
        y="metric",
        x="value",
        low="low",
        high="high",
        where={"split": "test", "unit": "fraction"},
        x_label="on test, with 95 % interval",
        title="Measures on test",
        alt=f"Accuracy and its relatives on {n} test examples as dots with their intervals.",
    )
    reliability = lines_figure(
        id="performance_reliability",
        table="calibration",
        x="confidence",
        y="accuracy",
        low="low",
        high="high",
        diagonal=True,
        x_label="mean confidence",
        y_label="share that is right",
        title="Reliability",
        alt="The share of right predictions against the confidence in them; perfect calibration is the diagonal.",
    )
    heatmap = heatmap_figure(
        id="performance_confusion",
        table="confusion",
        x="prediction",
        y="label",
        value="share",
        x_label="prediction",
        y_label="label",
        title="Confusion",
        alt="For each label, the share of its test examples that got each prediction.",
    )
    return (
        metrics,
        *([reliability] if rows.scores is not None else []),
        *([heatmap] if len(rows.classes) <= MAX_HEATMAP_CLASSES else []),
    )
