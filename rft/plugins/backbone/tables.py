"""The tables and the figure of the section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rft.number_format import format_fixed
from rft.plugins.backbone.groups import MIN_UNITS_PER_GROUP, Gap
from rft.records import Columns, Figure, NotMeasured, Row, Table, dots_figure, list_columns
from rft.stats.cross_validation import OutOfFold
from rft.stats.rates import Rate

CAPTIONS = {
    "accuracies": "Accuracy of simple classifiers on training examples that they did not see, with Wilson intervals.",
    "balanced_accuracies": "Balanced accuracy, in which each class counts the same, of the same classifiers.",
    "by_group": "Accuracy of the linear probe on each group, out of fold, with Wilson intervals; groups with fewer "
    f"than {MIN_UNITS_PER_GROUP} examples, or units where they repeat, are not scored.",
    "gaps": "The group with the highest accuracy of the linear probe minus that with the lowest; an interval that "
    "includes 0 does not tell them apart, and more than two groups have none.",
}
_ACCURACIES = list_columns({"name": "key", "value": "estimate", "low": "low", "high": "high", "n": "count"})
COLUMNS: dict[str, Columns] = {
    "accuracies": _ACCURACIES,
    "balanced_accuracies": _ACCURACIES,
    "by_group": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
            "status": "status",
        }
    ),
    "gaps": list_columns(
        {
            "backbone": "key",
            "attribute": "attribute",
            "groups": "key",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "n_groups": "number",
        }
    ),
    "backbones": list_columns(
        {
            "backbone": "key",
            "accuracy": "estimate",
            "low": "low",
            "high": "high",
            "knn": "number",
            "logme": "number",
            "dimension": "number",
            "seconds": "number",
            "n": "count",
        }
    ),
    "against_best": list_columns({"backbone": "key", "value": "estimate", "low": "low", "high": "high", "n": "count"}),
}


def accuracies_table(classifiers: Mapping[str, OutOfFold | NotMeasured]) -> Table:
    """Return the accuracy of each classifier by name."""
    return [
        _rate_row(name, None if isinstance(predicted, NotMeasured) else predicted.accuracy)
        for name, predicted in classifiers.items()
    ]


def balanced_accuracies_table(classifiers: Mapping[str, OutOfFold | NotMeasured]) -> Table:
    """Return the balanced accuracy of each classifier by name."""
    return [
        _rate_row(name, None if isinstance(predicted, NotMeasured) else predicted.balanced_accuracy)
        for name, predicted in classifiers.items()
    ]


def _rate_row(name: str, rate: Rate | None) -> Row:
    ends = rate.confidence_interval() if rate else None
    return {
        "name": name,
        "value": rate.value if rate else None,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
        "n": rate.sample.units if rate else None,
    }


def by_group_table(measured_gaps: Sequence[Gap], reason: str) -> Table:
    """Return the accuracy of each group of each attribute; ``reason`` is the status of one that is withheld."""
    table: Table = []
    for gap in measured_gaps:
        for group, rate in gap.scored:
            ends = rate.confidence_interval()
            scored: Row = {"value": rate.value, "low": ends.low, "high": ends.high, "n": rate.sample.units}
            table.append({"attribute": gap.attribute, "group": group, **scored, "status": "ok"})
        for group, n in gap.too_few:
            absent: Row = {"value": None, "low": None, "high": None, "n": n, "status": "too few" if n else reason}
            table.append({"attribute": gap.attribute, "group": group, **absent})
    return table


def gaps_table(measured_gaps: Sequence[Gap]) -> Table:
    """Return the largest difference of each attribute."""
    return [gap_row(gap) for gap in measured_gaps]


def gap_row(gap: Gap) -> Row:
    """Return one row of the table ``gaps_table``."""
    ends = gap.interval
    return {
        "attribute": gap.attribute,
        "groups": gap.groups,
        "n_groups": len(gap.scored),
        "value": gap.value,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
    }


def accuracies_figure(majority: float | None) -> Figure:
    """Return the accuracies with intervals beside the share of the most frequent class, where that is known."""
    return dots_figure(
        id="backbone_accuracies",
        table="accuracies",
        y="name",
        x="value",
        low="low",
        high="high",
        reference=majority,
        x_label="accuracy on held-out training examples, with 95 % interval"
        + ("; dashed: the most frequent class" if majority is not None else ""),
        title="Features against random weights",
        alt="The accuracy of a linear probe, of the same on random weights, and of nearest neighbours, as dots with "
        + (
            f"intervals, beside a line at the share of the most frequent class, {format_fixed(majority, 3)}."
            if majority is not None
            else "intervals."
        ),
    )
