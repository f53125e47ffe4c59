"""What the tables show where groups or classes are withheld: that they are, and no number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.plugins.fairness.present.tables import SPLIT
from rft.predictions.grouped import GroupedPredictions
from rft.predictions.table import Grouping
from rft.records import Cell, Finding, FindingDefinition, Row
from rft.stats.scores.classification import METRICS, Metric, Ratios

NUMBER_COLUMNS = ("value", "low", "high", "n", "n_positive", "n_negative")
CHANGE_COLUMNS = ("newly_given", "no_longer_given", "newly_right", "newly_wrong")


def rows_of_withheld_groups(model: str, grouped: GroupedPredictions, plan: ComparisonPlan) -> Iterator[Row]:
    """Yield the rows of the table ``by_group`` for the withheld groups of a grouping."""
    for metric, target in plan.planned_metrics:
        for name in grouped.grouping.withheld:
            yield {
                "model": model,
                "split": SPLIT,
                "attribute": grouped.grouping.attribute,
                "group": name,
                "class": target.name,
                "control": grouped.control,
                "metric": metric,
                **dict.fromkeys(NUMBER_COLUMNS),
                "status": plan.withheld.reason,
            }


def clear_pooled_row(row: Row, plan: ComparisonPlan) -> Row:
    """Return a row of the table ``by_group`` about all rows, without numbers of a class that is withheld."""
    hidden, classes = plan.withheld.classes_of(SPLIT), plan.rows.classes
    if _rests_on_few_selections(METRICS[str(row["metric"])], row["class"], plan):
        return {**row, "value": None, "low": None, "high": None, "status": plan.withheld.reason}
    if not hidden:
        return row
    counted = row["class"] or classes[plan.positive]
    cleared: Row = dict.fromkeys(("n_positive", "n_negative")) if counted in hidden else {}
    if rests_on_withheld_class(str(row["metric"]), row["class"], plan):
        cleared = {**dict.fromkeys(NUMBER_COLUMNS), "status": plan.withheld.reason}
    return {**row, **cleared}


def _rests_on_few_selections(metric: Metric, class_name: Cell, plan: ComparisonPlan) -> bool:
    """Whether predictions decide which rows a metric is a share of, and few units have such a row."""
    if not metric.depends_on_selection:
        return False
    rows = plan.rows
    positive = None if class_name is None else rows.classes.index(str(class_name))
    masks = Ratios.from_metric(metric, rows.classes, positive).mark_rows(rows.labels, rows.predictions)[1].T
    return any(plan.withheld.is_small(rows.n_where(mask)) for mask in masks)


def rests_on_withheld_class(metric: str, class_name: Cell, plan: ComparisonPlan) -> bool:
    """Whether a metric of all rows rests on the cases of a class that is withheld; no class means all of them."""
    needed = {class_name} if class_name else set(plan.rows.classes)
    return not METRICS[metric].is_of_all_rows and bool(needed & plan.withheld.classes_of(SPLIT))


def clear_decision_changes(rows: Sequence[Row], grouping: Grouping, plan: ComparisonPlan) -> list[Row]:
    """Return the rows of the table ``sides`` with a status where something may be withheld, and no small count."""
    withheld = plan.withheld
    if not withheld.below:
        return list(rows)
    shown: list[Row] = []
    for row in rows:
        few = any(isinstance(count, int) and withheld.is_small(count) for count in row.values())
        shown.append(_without_counts(row, withheld.reason) if few else {**row, "status": "ok"})
    columns = rows[0] if rows else dict.fromkeys(("attribute", "group", "n", *CHANGE_COLUMNS))
    blank = [{**columns, "attribute": grouping.attribute, "group": name} for name in grouping.withheld]
    return shown + [_without_counts(row, withheld.reason) for row in blank]


def _without_counts(row: Row, reason: str) -> Row:
    about = ("attribute", "group")
    return {**{name: cell if name in about else None for name, cell in row.items()}, "status": reason}


def clear_intersections(rows: Sequence[Row], crossed: Grouping, plan: ComparisonPlan) -> list[Row]:
    """Return the rows of the table ``intersections``, in which what is withheld is not taken for empty."""
    return [
        {**row, "value": None, "n": None, "status": plan.withheld.reason} if row["group"] in crossed.withheld else row
        for row in rows
    ]


def state_withheld_missing_values(attribute: str, reason: str) -> Finding:
    """Return the finding ``fairness.missing.<attribute>`` where rows without a value are withheld with the groups."""
    definition = FindingDefinition(
        f"fairness.missing.{attribute}",
        f"Test examples without {attribute}",
        f"How many test examples have no value of {attribute}, and what they leave open.",
    )
    return definition.state_not_measured(reason)
